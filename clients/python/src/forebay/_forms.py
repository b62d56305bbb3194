"""The forms in which values and arguments are written; the C part takes them from here."""

import datetime
import decimal
import json
import uuid

# One form of JSON: compact, UTF-8 as it is, no NaN.
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
DECODER = json.JSONDecoder()

# Types beside those of JSON that may be arguments of a cached function, and how they are marked in
# its keys. Their str() says all there is to say.
TAGS = {
    datetime.date: "date",
    datetime.datetime: "datetime",
    datetime.time: "time",
    datetime.timedelta: "timedelta",
    decimal.Decimal: "decimal",
    uuid.UUID: "uuid",
}

-- c is the log's mark: the epoch (8 bytes), the sequence (decimal), the last record's nonce (16 hex
-- digits). A log without an epoch takes part in nothing.
local c = redis.call('HMGET', KEYS[1], 'e', 's', 'n')
if not c[1] then
    return {'NO_EPOCH'}
end

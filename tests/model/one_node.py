#!/usr/bin/python3
"""One key on one node: loads, an invalidating writer, readers on threads of their own.

The steps are those that are atomic in src/cache (tickets.c, tags.c, fill.c, flight.c), no larger:
an invalidation by key dooms, then changes the store; one by tag raises the counter, then writes
the slot; a load registers, takes its stamp, reads the source, fills, answers. All orders of these
are tried. Wrong is: a reader gets a version older than the newest one whose invalidation had
returned when he began.
"""

import collections

import explore

RULES = {
    "ticket_first": "a load is registered before its source is asked",
    "stamp_first": "a load takes its tag stamp before its source is asked",
    "doom_first": "an invalidation by key dooms the loads before it changes the store",
    "doom": "a load that was doomed is not stored",
    "fill_locked": "looking for doom and storing are one step for whoever dooms",
    "tag_stamp": "an entry carries the stamp of its load's start",
    "detach": "nobody joins a load that was doomed",
    "reader_seq": "who began after a tag went is not answered with a load that began before",
}

WRITES = 2
READS = 2
READERS = 2
FLIGHTS = 3

# version at the source; newest one whose invalidation has returned; the writer's (step, writes
# left, number of a tag's invalidation); stored entry (version, stamp) or None; tag counter; the
# tag's slot; flights; readers
State = collections.namedtuple("State", "db acked writer store seq slot flights readers")
# steps left to do; what was read; whether registered, doomed, joinable
Flight = collections.namedtuple("Flight", "todo data stamp registered doomed live")
# where it is; what it may not get anything older than; tag counter as it began; flight waited for;
# reads left
Reader = collections.namedtuple("Reader", "at floor seq flight left")

IDLE, LOOKED, WAITS = "idle", "looked", "waits"


def model(rules):
    todo = ["register", "stamp", "read"]
    if "stamp_first" not in rules:
        todo = ["register", "read", "stamp"]
    if "ticket_first" not in rules:
        todo.remove("register")
        todo.append("register")
    todo += ["fill"] if "fill_locked" in rules else ["look", "store"]
    todo = tuple(todo + ["answer"])
    first = State(1, 1, ("idle", WRITES, 0), None, 1, 0, (None,) * FLIGHTS,
                  (Reader(IDLE, 0, 0, None, READS),) * READERS)
    return first, lambda state: steps(rules, todo, state)


def put(items, index, item):
    return items[:index] + (item,) + items[index + 1:]


def steps(rules, todo, state):
    yield from writer_steps(rules, state)
    for index, flight in enumerate(state.flights):
        if flight is not None:
            yield flight_step(rules, state, index, flight)
    for index, reader in enumerate(state.readers):
        yield from reader_steps(rules, todo, state, index, reader)


# ---- the writer

def doom_all(state):
    return state._replace(flights=tuple(
        f._replace(doomed=True) if f is not None and f.registered else f for f in state.flights))


def writer_steps(rules, state):
    step, left, number = state.writer
    if step == "idle":
        if left > 0:
            db = state.db + 1
            for kind in ("key", "tag"):
                yield (f"writer: version {db} at the source, to be said by {kind}",
                       state._replace(db=db, writer=(kind, left - 1, 0)))
    elif step == "key":
        if "doom_first" in rules:
            yield "writer: dooms loads", doom_all(state)._replace(writer=("key2", left, 0))
        else:
            removed = state._replace(store=None, writer=("key2", left, 0))
            yield "writer: removes from memory", removed
    elif step == "key2":
        done = state._replace(writer=("idle", left, 0), acked=state.db)
        if "doom_first" in rules:
            yield "writer: removes from memory, done", done._replace(store=None)
        else:
            yield "writer: dooms loads, done", doom_all(done)
    elif step == "tag":
        yield ("writer: raises the counter",
               state._replace(seq=state.seq + 1, writer=("tag2", left, state.seq + 1)))
    else:
        yield ("writer: writes the tag's slot, done",
               state._replace(slot=number, writer=("idle", left, 0), acked=state.db))


# ---- loads

def flight_step(rules, state, index, flight):
    what, rest = flight.todo[0], flight.todo[1:]
    name = f"load {index}"
    flight = flight._replace(todo=rest)
    if what == "register":
        flight = flight._replace(registered=True)
    elif what == "stamp":
        flight = flight._replace(stamp=state.seq)
    elif what == "read":
        flight = flight._replace(data=state.db)
    elif what in ("fill", "look"):
        refused = flight.doomed and "doom" in rules
        if what == "look":
            flight = flight._replace(todo=rest[1:] if refused else rest)
        elif not refused:
            state = stored(rules, state, flight)
    elif what == "store":
        state = stored(rules, state, flight)
    else:
        return f"{name}: answers with version {flight.data}", answered(rules, state, index, flight)
    text = {"register": "registers", "stamp": f"takes stamp {state.seq}",
            "read": f"reads version {flight.data}", "fill": "fills, where it may",
            "look": "looks whether it may fill", "store": "stores"}[what]
    return f"{name}: {text}", state._replace(flights=put(state.flights, index, flight))


def stored(rules, state, flight):
    stamp = flight.stamp if "tag_stamp" in rules else state.seq
    return state._replace(store=(flight.data, stamp))


def answered(rules, state, index, flight):
    readers = state.readers
    for i, reader in enumerate(readers):
        if reader.at != WAITS or reader.flight != index:
            continue
        overtaken = state.slot > flight.stamp and reader.seq > flight.stamp
        if "reader_seq" in rules and overtaken:
            readers = put(readers, i, reader._replace(at=LOOKED, flight=None))
        elif flight.data < reader.floor:
            return f"WRONG: reader {i} gets {flight.data}, but began after {reader.floor} was said"
        else:
            readers = put(readers, i, Reader(IDLE, 0, 0, None, reader.left))
    return state._replace(flights=put(state.flights, index, None), readers=readers)


# ---- readers

def from_memory(state):
    """The version in memory, where it is valid."""
    return state.store[0] if state.store is not None and state.slot <= state.store[1] else None


def reader_steps(rules, todo, state, index, reader):
    name = f"reader {index}"
    if reader.at == IDLE and reader.left > 0:
        begun = Reader(LOOKED, state.acked, state.seq, None, reader.left - 1)
        found = from_memory(state)
        if found is None:
            yield f"{name}: begins, memory has nothing", state._replace(
                readers=put(state.readers, index, begun))
        elif found < begun.floor:
            yield f"{name}: begins", f"WRONG: he finds {found}, but {begun.floor} was said"
        else:
            yield f"{name}: begins, finds version {found}", state._replace(
                readers=put(state.readers, index, Reader(IDLE, 0, 0, None, reader.left - 1)))
    elif reader.at == LOOKED:
        yield from ask(rules, todo, state, index, reader)


def ask(rules, todo, state, index, reader):
    """Joins the load that can be joined, or leads another."""
    name = f"reader {index}"
    flights = state.flights
    live = next((i for i, f in enumerate(flights) if f is not None and f.live), None)
    if live is not None and flights[live].doomed and "detach" in rules:
        flights = put(flights, live, flights[live]._replace(live=False))
        live = None
    if live is not None:
        yield f"{name}: joins load {live}", state._replace(
            readers=put(state.readers, index, reader._replace(at=WAITS, flight=live)))
    elif None in flights:
        free = flights.index(None)
        led = Flight(todo, None, None, False, False, True)
        yield f"{name}: begins load {free}", state._replace(
            flights=put(flights, free, led),
            readers=put(state.readers, index, reader._replace(at=WAITS, flight=free)))


if __name__ == "__main__":
    explore.check("one node", RULES, model)

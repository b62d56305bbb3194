#!/usr/bin/python3
"""One key, two nodes, and a shared tier between them and the source.

The steps are those of src/cache/lease.c and of a shared tier that does each request in one script.
Requests and replies travel: what the shared tier answers, and when a node hears of it, are two steps,
with anything between them. Node 0 writes. Wrong is: a reader gets a version older than the newest
one that was said on his node when he began; on node 0 that is when the invalidation has returned,
on node 1 when the notice has arrived.
"""

import collections

import explore

RULES = {
    "fill_token": "the shared tier is filled only by the holder of the lease",
    "lease_falls": "an invalidation in the shared tier deletes the lease too",
    "change_first": "the shared tier changes before other nodes are told",
    "doom": "an invalidation, and a notice, dooms the loads of the node: they are not stored",
    "detach": "nobody joins a load that was doomed",
    "ticket_first": "a load can be doomed from before the shared tier is asked",
    "reapply": "an invalidation is applied again when the shared tier has acknowledged it",
}

WRITES = 1
READS = 2
FLIGHTS = 2  # of a node at a time

# version at the source; in the shared tier: value or 0, token or 0; the writer's (step, writes
# left); notices on their way to node 1; nodes
State = collections.namedtuple("State", "db value lease writer notices nodes")
# version in memory or 0; newest version said here; flights, in no order; reads left
Node = collections.namedtuple("Node", "memory said flights left")
# where it is; what it brought; token or 0; whether registered, doomed, joinable; what the reader who
# waits for it must not get anything older than (0: nobody waits)
Flight = collections.namedtuple("Flight", "at data token registered doomed live floor")


def model(rules):
    node = Node(0, 1, (), READS)
    first = State(1, 0, 0, ("idle", WRITES), (), (node, node))
    return first, lambda state: steps(rules, state)


def put(items, index, item):
    return items[:index] + (item,) + items[index + 1:]


def on(state, index, **changes):
    if "flights" in changes:
        changes["flights"] = tuple(sorted(changes["flights"]))
    return state._replace(nodes=put(state.nodes, index, state.nodes[index]._replace(**changes)))


def steps(rules, state):
    yield from writer_steps(rules, state)
    if state.lease:
        yield "shared tier: the lease expires", state._replace(lease=0)
    for said in set(state.notices):
        rest = list(state.notices)
        rest.remove(said)
        heard = drop(rules, state._replace(notices=tuple(rest)), 1)
        yield (f"node 1: hears of version {said}",
               on(heard, 1, said=max(said, state.nodes[1].said)))
    for index, node in enumerate(state.nodes):
        yield from reader_steps(rules, state, index, node)
        for slot, flight in enumerate(node.flights):
            yield from flight_steps(rules, state, index, slot, flight)


def drop(rules, state, index):
    """What an invalidation does on a node: dooms the loads, then clears memory."""
    flights = state.nodes[index].flights
    if "doom" in rules:
        flights = tuple(f._replace(doomed=True) if f.registered else f for f in flights)
    return on(state, index, flights=flights, memory=0)


# ---- the writer, on node 0

def in_shared_tier(rules, state):
    return state._replace(value=0, lease=0 if "lease_falls" in rules else state.lease)


def writer_steps(rules, state):
    step, left = state.writer
    told = state.notices + (state.db,)
    if step == "idle":
        if left > 0:
            yield (f"writer: version {state.db + 1} at the source",
                   state._replace(db=state.db + 1, writer=("here", left - 1)))
    elif step == "here":
        yield "node 0: applies it", drop(rules, state, 0)._replace(writer=("there", left))
    elif step == "there":
        if "change_first" in rules:
            yield ("shared tier: deletes, tells node 1",
                   in_shared_tier(rules, state)._replace(notices=told, writer=("done", left)))
        else:
            yield "shared tier: tells node 1", state._replace(notices=told, writer=("late", left))
    elif step == "late":
        yield "shared tier: deletes", in_shared_tier(rules, state)._replace(writer=("done", left))
    else:
        done = drop(rules, state, 0) if "reapply" in rules else state
        yield ("node 0: hears that it is done",
               on(done, 0, said=state.db)._replace(writer=("idle", left)))


# ---- loads

def flight_steps(rules, state, index, slot, flight):
    name = f"node {index}, load"

    def now(text, base=None, **changes):
        base = state if base is None else base
        flights = put(base.nodes[index].flights, slot, flight._replace(**changes))
        return f"{name}: {text}", on(base, index, flights=flights)

    if flight.at == "asks":
        if state.value:
            yield now(f"the shared tier has version {state.value}", at="value", data=state.value)
        elif state.lease:
            yield now("another has the lease", at="loads")
        else:
            token = unused_token(state)
            yield now(f"gets lease {token}", state._replace(lease=token), at="loads", token=token)
    elif flight.at == "loads":
        yield now(f"reads version {state.db}", at="loaded", data=state.db, registered=True)
    elif flight.at == "loaded":
        if flight.token == 0:
            yield f"{name}: fills memory, answers", ended(rules, state, index, slot, flight, True)
        elif state.lease == flight.token or "fill_token" not in rules:
            filled = state._replace(value=flight.data, lease=0)
            yield now(f"fills the shared tier with version {flight.data}", filled, at="filled")
        else:
            yield now("is refused by the shared tier", at="refused")
    elif flight.at == "refused":
        yield f"{name}: answers", ended(rules, state, index, slot, flight, False)
    else:
        yield f"{name}: fills memory, answers", ended(rules, state, index, slot, flight, True)


def unused_token(state):
    """One that nobody holds is as good as a new one, and makes fewer states."""
    held = {f.token for node in state.nodes for f in node.flights}
    return next(token for token in range(1, 10) if token not in held)


def ended(rules, state, index, slot, flight, store):
    node = state.nodes[index]
    memory = flight.data if store and not flight.doomed else node.memory
    if flight.data < flight.floor:
        return f"WRONG: node {index} answers {flight.data}, but {flight.floor} was said before"
    return on(state, index, memory=memory, flights=node.flights[:slot] + node.flights[slot + 1:])


# ---- readers, one a node at a time

def reader_steps(rules, state, index, node):
    name = f"node {index}: a reader begins"
    flights = node.flights
    waited = next((i for i, f in enumerate(flights) if f.floor), None)
    if waited is not None:
        if node.left > 0:
            left = put(flights, waited, flights[waited]._replace(floor=0))
            yield f"node {index}: the reader gives up", on(state, index, flights=left)
        return
    if node.left == 0:
        return
    if node.memory:
        if node.memory < node.said:
            yield name, f"WRONG: node {index} has {node.memory} in memory, but {node.said} was said"
        else:
            yield f"{name}, finds version {node.memory}", on(state, index, left=node.left - 1)
        return
    live = next((i for i, f in enumerate(flights) if f.live), None)
    if live is not None and flights[live].doomed and "detach" in rules:
        flights = put(flights, live, flights[live]._replace(live=False))
        live = None
    if live is not None:
        name += ", joins the load"
        flights = put(flights, live, flights[live]._replace(floor=node.said))
    elif len(flights) < FLIGHTS:
        name += ", begins a load"
        flights += (Flight("asks", 0, 0, "ticket_first" in rules, False, True, node.said),)
    else:
        return
    yield name, on(state, index, flights=flights, left=node.left - 1)


if __name__ == "__main__":
    explore.check("two tiers", RULES, model)

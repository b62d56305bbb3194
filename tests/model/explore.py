"""Every order of events of a small model, breadth first.

A model gives its first state and the steps that a state allows. States are tuples; a step is (what
happens, next state), or (what happens, what is wrong with that). The shortest way to something wrong
is the counterexample.
"""

import collections
import sys

TOO_MANY = 5_000_000


def explore(first, steps):
    """(states seen, None), or (states seen, [what happened, …, what is wrong]).

    `steps(state)` yields (text, next); where `next` is a str, that is what is wrong.
    """
    came_from = {first: None}
    queue = collections.deque([first])
    while queue:
        state = queue.popleft()
        for text, following in steps(state):
            if isinstance(following, str):
                return len(came_from), way_to(came_from, state) + [text, following]
            if following not in came_from:
                came_from[following] = (state, text)
                queue.append(following)
        if len(came_from) > TOO_MANY:
            sys.exit("more states than this was made for")
    return len(came_from), None


def way_to(came_from, state):
    way = []
    while came_from[state] is not None:
        state, text = came_from[state]
        way.append(text)
    return way[::-1]


def check(name, rules, model):
    """Explores with all rules, then without each. Exits with an error where the first goes wrong, or
    any of the others does not."""
    seen, wrong = explore(*model(frozenset(rules)))
    print(f"{name}: all rules: {'WRONG' if wrong else 'right'} in all of {seen} states")
    failed = wrong is not None
    for line in wrong or []:
        print("    " + line)
    for rule, text in rules.items():
        seen, wrong = explore(*model(frozenset(rules) - {rule}))
        print(f"\nwithout {rule} ({text}):")
        if wrong is None:
            print(f"    NOTHING goes wrong in {seen} states")
            failed = True
        for line in wrong or []:
            print("    " + line)
    print(f"\n{name}: {len(rules)} rules, {'FAILED' if failed else 'each needed, together enough'}")
    sys.exit(1 if failed else 0)

"""One process that reads through a client, for bench_clients: `client.py LIBRARY SOCKET KEYS`.

LIBRARY: forebay (forebay.Client.get), forebay-bytes (get_bytes), redis (redis-py's get). It prints
`ready`; for each number it reads, it reads so many keys and prints `CPU_NS WALL_NS FOUND`. The key
strings are made before; the loop itself is C (map into an empty deque) and costs some ten ns a key.
"""

import collections
import random
import sys
import time

STRINGS = 100000


def reader(library, path):
    if library == "redis":
        import redis
        return redis.Redis(unix_socket_path=path).get
    import forebay
    client = forebay.Client("unix:" + path)
    return client.get if library == "forebay" else client.get_bytes


def main():
    library, path, keys = sys.argv[1], sys.argv[2], int(sys.argv[3])
    get = reader(library, path)
    drawn = random.Random(1)
    strings = [f"key:{drawn.randrange(keys):016d}" for _ in range(STRINGS)]
    get(strings[0])
    print("ready", flush=True)
    place = 0
    for line in sys.stdin:
        count = int(line)
        part = (strings[place:] + strings * (count // STRINGS + 1))[:count]
        place = (place + count) % STRINGS
        warm = part[:1000]
        collections.deque(map(get, warm), maxlen=0)
        begun, used = time.perf_counter_ns(), time.process_time_ns()
        collections.deque(map(get, part), maxlen=0)
        used, elapsed = time.process_time_ns() - used, time.perf_counter_ns() - begun
        found = sum(value is not None for value in map(get, warm))
        print(used / count, elapsed / count, found / len(warm), flush=True)


main()

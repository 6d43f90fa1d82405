# multiprocessing's imap_unordered in chunks of 1,000, on two workers: `items` as argument, one line in is one round, seconds out.
import multiprocessing, sys, time

def add_one(x):
    return x + 1

if __name__ == "__main__":
    items = int(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.perf_counter()
            total = sum(pool.imap_unordered(add_one, range(items), chunksize=1000))
            seconds = time.perf_counter() - began
            assert total == items * (items + 1) // 2
            print(seconds, flush=True)

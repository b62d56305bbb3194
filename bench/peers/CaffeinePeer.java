// Caffeine as one of the peers of bench_peers: README.md has the protocol.

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.CyclicBarrier;

public final class CaffeinePeer {
    private static final int OPS = 500000, VALUE_LEN = 100;

    // Ranks by rejection from the integral, as in src/cli/bench_keys.c.
    private static final class Zipf {
        private final double exponent = 0.99, low, high, shortcut;
        private final int count;

        Zipf(int count) {
            this.count = count;
            low = integral(1.5) - 1;
            high = integral(count + 0.5);
            shortcut = 2 - inverse(integral(2.5) - Math.pow(2, -exponent));
        }

        private double integral(double x) {
            return (Math.pow(x, 1 - exponent) - 1) / (1 - exponent);
        }

        private double inverse(double y) {
            return Math.pow(1 + y * (1 - exponent), 1 / (1 - exponent));
        }

        int next(SplittableRandom random) {
            for (;;) {
                double y = high + random.nextDouble() * (low - high);
                double x = inverse(y);
                int rank = (int) Math.min(Math.max(Math.floor(x + 0.5), 1), count);
                if (rank - x <= shortcut || y >= integral(rank + 0.5) - Math.pow(rank, -exponent)) {
                    return rank;
                }
            }
        }
    }

    private static String makeKey(int id) {
        int mixed = (id + 0x7f4a7c15) * 0x85ebca6b;
        mixed ^= mixed >>> 13;
        byte[] bytes = new byte[16 + Integer.remainderUnsigned(mixed, 17)];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (i < 8 ? Character.forDigit((id >>> (28 - 4 * i)) & 15, 16)
                : i == 8 ? ':' : 'a' + ((mixed >>> (i & 31)) & 15));
        }
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private static int scatter(int rank, int entries) {
        int mask = Integer.highestOneBit(Math.max(entries - 1, 1)) * 2 - 1;
        int id = rank;
        do {
            id = (id * 0x9e3779b1 + 0x7f4a7c15) & mask;
        } while (id >= entries);
        return id;
    }

    private static Cache<String, byte[]> fill(int entries, int max) {
        Cache<String, byte[]> cache = Caffeine.newBuilder().maximumSize(max).build();
        for (int id = 0; id < entries; id++) {
            cache.put(makeKey(id), new byte[VALUE_LEN]);
        }
        cache.cleanUp();
        return cache;
    }

    private static long heap() {
        for (int i = 0; i < 3; i++) {
            System.gc();
        }
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    private static int work(Cache<String, byte[]> cache, String[] keys, boolean mix, byte[] copy) {
        int hits = 0;
        for (String key : keys) {
            byte[] value = cache.getIfPresent(key);
            if (value != null) {
                System.arraycopy(value, 0, copy, 0, VALUE_LEN);
                hits++;
            } else if (mix) {
                cache.put(key, new byte[VALUE_LEN]);
            }
        }
        return hits;
    }

    private static String[] draw(int entries, Zipf zipf, SplittableRandom random) {
        String[] keys = new String[OPS];
        for (int i = 0; i < OPS; i++) {
            keys[i] = makeKey(scatter(zipf.next(random) - 1, entries));
        }
        return keys;
    }

    // Of all threads there are, the collector's among them: the process's own clock counts in
    // hundredths of a second.
    private static long cpuNs() throws Exception {
        long sum = 0;
        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path task : tasks) {
                sum += Long.parseLong(Files.readString(task.resolve("schedstat")).split(" ")[0]);
            }
        }
        return sum;
    }

    private static String round(Cache<String, byte[]> cache, boolean mix, int threads, int entries,
            SplittableRandom random) throws Exception {
        Zipf zipf = new Zipf(entries);
        Thread[] all = new Thread[threads];
        String[][] warm = new String[threads][], keys = new String[threads][];
        int[] hits = new int[threads];
        for (int i = 0; i < threads; i++) {
            warm[i] = draw(entries, zipf, random);
            keys[i] = draw(entries, zipf, random);
        }
        System.gc();
        CyclicBarrier gate = new CyclicBarrier(threads + 1);
        for (int i = 0; i < threads; i++) {
            int number = i;
            all[i] = new Thread(() -> {
                byte[] copy = new byte[VALUE_LEN];
                try {
                    work(cache, warm[number], mix, copy);
                    gate.await();
                    gate.await();
                    hits[number] = work(cache, keys[number], mix, copy);
                    gate.await();
                    gate.await();
                } catch (Exception broken) {
                    throw new IllegalStateException(broken);
                }
            });
            all[i].start();
        }
        gate.await();
        long cpu = cpuNs(), begun = System.nanoTime();
        gate.await();
        gate.await();
        double elapsed = System.nanoTime() - begun;
        double used = cpuNs() - cpu;
        gate.await();
        double ops = (double) OPS * threads, found = 0;
        for (int i = 0; i < threads; i++) {
            all[i].join();
            found += hits[i];
        }
        return String.format(Locale.ROOT, "%.2f %.2f %.4f", used / ops, elapsed / ops, found / ops);
    }

    public static void main(String[] words) throws Exception {
        int entries = words.length > 0 ? Integer.parseInt(words[0]) : 10000;
        SplittableRandom random = new SplittableRandom(1);
        long before = heap();
        Cache<String, byte[]> tight = fill(entries, (entries + 1) / 2);
        System.out.printf(Locale.ROOT, "ready %.1f%n",
            (double) (heap() - before) / tight.estimatedSize());
        Cache<String, byte[]> roomy = fill(entries, entries);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ");
            boolean mix = parts[0].equals("mix");
            System.out.println(round(mix ? tight : roomy, mix, Integer.parseInt(parts[1]), entries,
                random));
        }
    }
}

package signpost.stock;

import java.io.IOException;
import java.util.Arrays;

/**
 * Runs a stock program, unchanged, and ends with whoever started it: when stdin ends, so does this
 * process. A test that was killed leaves no brokers behind.
 *
 * <p>Words: the program's main class, then its own words.
 */
public final class Attached {
    private Attached() {}

    public static void main(String[] words) throws Exception {
        Thread watch = new Thread(Attached::endWithStdin, "stdin");
        watch.setDaemon(true);
        watch.start();
        String[] rest = Arrays.copyOfRange(words, 1, words.length);
        Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
    }

    private static void endWithStdin() {
        try {
            while (System.in.read() >= 0) {
                // What it says does not matter.
            }
        } catch (IOException broken) {
            // As good as its end.
        }
        Runtime.getRuntime().halt(0);
    }
}

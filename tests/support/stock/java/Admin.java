package signpost.stock;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Many calls of the stock mqadmin in one JVM, since starting one takes longer than most calls.
 *
 * <p>Each line of stdin is one call, its words separated by tabs. Each is answered by one line,
 * {"out": what it printed, "err": what it printed to stderr}. Ends when stdin does.
 */
public final class Admin {
    private Admin() {}

    public static void main(String[] none) throws Exception {
        Line.print("ready", true);
        BufferedReader calls =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String call = calls.readLine(); call != null; call = calls.readLine()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
            MQAdminStartup.main(call.split("\t"));
            Line.print(
                "out", out.toString(StandardCharsets.UTF_8),
                "err", err.toString(StandardCharsets.UTF_8));
        }
        Runtime.getRuntime().halt(0);
    }
}

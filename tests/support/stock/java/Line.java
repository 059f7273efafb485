package signpost.stock;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** One JSON object on one line of the process's own stdout, whatever System.out is at the moment. */
final class Line {
    private static final PrintStream STDOUT =
        new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    private Line() {}

    /** Prints names and values in turn; numbers and booleans as they are, all else as strings. */
    static void print(Object... namesAndValues) {
        StringBuilder line = new StringBuilder("{");
        for (int at = 0; at < namesAndValues.length; at += 2) {
            if (at > 0) {
                line.append(',');
            }
            quote(line, (String) namesAndValues[at]);
            line.append(':');
            Object value = namesAndValues[at + 1];
            if (value instanceof Number || value instanceof Boolean || value == null) {
                line.append(value);
            } else {
                quote(line, value.toString());
            }
        }
        String whole = line.append("}\n").toString();
        synchronized (STDOUT) {
            STDOUT.print(whole);
            STDOUT.flush();
        }
    }

    private static void quote(StringBuilder line, String text) {
        line.append('"');
        for (int at = 0; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c == '"' || c == '\\') {
                line.append('\\').append(c);
            } else if (c < ' ') {
                line.append(String.format("\\u%04x", (int) c));
            } else {
                line.append(c);
            }
        }
        line.append('"');
    }
}

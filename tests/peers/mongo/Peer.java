import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.List;

/** A server in memory on a port of 127.0.0.1; says so once it listens. For TLS: a key's file (PKCS 8, DER) and a certificate's. */
public final class Peer {
    /** The library says of itself that it is older than what today's drivers speak to. */
    private static final class Recent implements MongoVersion {
        public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
        public int getWireVersion() { return 13; }
    }

    /** Tells of its cursors as MongoDB does. */
    private static final class Backend extends MemoryBackend {
        @Override
        public Document getServerStatus() {
            Document open = new Document("open", new Document("total", getCursorRegistry().size()));
            return super.getServerStatus().append("metrics", new Document("cursor", open));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Backend backend = new Backend();
        backend.version(new Recent());
        MongoServer server = new MongoServer(backend);
        if (arguments.length == 3) {
            byte[] key = Files.readAllBytes(Path.of(arguments[1]));
            PrivateKey privateKey = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(key));
            try (var certificate = Files.newInputStream(Path.of(arguments[2]))) {
                var made = CertificateFactory.getInstance("X.509").generateCertificate(certificate);
                server.enableSsl(privateKey, null, (X509Certificate) made);
            }
        }
        server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("listening");
    }
}

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.List;

/** A server in memory on a free port of 127.0.0.1, which it prints. For TLS: a key's file (PKCS 8, DER), a certificate's. */
public final class Peer {
    /** The library says of itself that it is older than what today's drivers speak to. */
    private static final class Recent implements MongoVersion {
        public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
        public int getWireVersion() { return 13; }
    }

    public static void main(String[] files) throws Exception {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Recent());
        MongoServer server = new MongoServer(backend);
        if (files.length == 2) {
            byte[] key = Files.readAllBytes(Path.of(files[0]));
            PrivateKey privateKey = KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(key));
            try (var certificate = Files.newInputStream(Path.of(files[1]))) {
                var made = CertificateFactory.getInstance("X.509").generateCertificate(certificate);
                server.enableSsl(privateKey, null, (X509Certificate) made);
            }
        }
        System.out.println(server.bind().getPort());
    }
}

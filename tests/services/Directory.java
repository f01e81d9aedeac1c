import com.unboundid.ldap.listener.InMemoryDirectoryServer;
import com.unboundid.ldap.listener.InMemoryDirectoryServerConfig;
import com.unboundid.ldap.listener.InMemoryListenerConfig;
import java.net.InetAddress;

/** An in-memory LDAP directory on loopback, with one user. Prints its port, and runs until its standard input ends. */
public class Directory {
    public static void main(String[] arguments) throws Exception {
        var config = new InMemoryDirectoryServerConfig("dc=bank");
        config.setListenerConfigs(InMemoryListenerConfig.createLDAPConfig("ldap", InetAddress.getLoopbackAddress(), 0, null));
        var directory = new InMemoryDirectoryServer(config);
        directory.add("dn: dc=bank", "objectClass: domain", "dc: bank");
        directory.add("dn: uid=" + arguments[0] + ",dc=bank", "objectClass: inetOrgPerson", "uid: " + arguments[0],
                "cn: A user", "sn: User", "userPassword: " + arguments[1]);
        directory.startListening();
        System.out.println(directory.getListenPort());
        while (System.in.read() >= 0) { }
        directory.shutDown(true);
    }
}

"""A connector with TLS beside a stack's own, and the clients that only TLS needs."""
import socket
import ssl
import subprocess

from .stack import HOST, ExtraConnector, free_port
from .waiting import DEADLINE_S


class TlsConnector(ExtraConnector):
    """Plain TCP on `port` as well, TLS on `tls_port`."""

    def __init__(self, stack, *sets):
        self.tls_port = free_port()
        super().__init__(stack, "listen.tls.enabled=true", f"listen.tls.address={HOST}",
                         f"listen.tls.port={self.tls_port}", *sets)

    def dial_tls(self, ca, name=HOST, **how):
        """A TLS connection that has verified the server. how: attributes of the context, and
        `load`, the certificate and key of the client."""
        context = ssl.create_default_context(cafile=str(ca))
        if load := how.pop("load", None):
            context.load_cert_chain(*map(str, load))
        if alpn := how.pop("alpn", None):
            context.set_alpn_protocols(alpn)
        for attribute, value in how.items():
            setattr(context, attribute, value)
        raw = socket.create_connection((HOST, self.tls_port), timeout=DEADLINE_S)
        try:
            sock = context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise
        sock.settimeout(None)
        return sock

    def s_client(self, *words, text=""):
        """What `openssl s_client` says about a connection; text is sent to the server. It ends with
        its input, or by itself."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{self.tls_port}",
                               *map(str, words)], input=text.encode(), capture_output=True,
                              timeout=DEADLINE_S, check=False)
        return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")

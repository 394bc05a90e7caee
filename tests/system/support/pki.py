"""Certificates for tests, made with the openssl program."""
import subprocess


def openssl(*words, **how):
    return subprocess.run(["openssl", *map(str, words)], check=how.pop("check", True),
                          capture_output=True, timeout=30, **how)


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Pki:
    """A folder with NAME.pem and NAME.key of each authority and certificate that was made."""

    def __init__(self, folder):
        self.folder = folder

    def pem(self, name):
        return self.folder / f"{name}.pem"

    def key(self, name):
        return self.folder / f"{name}.key"

    def authority(self, name="ca"):
        openssl("req", "-x509", *NEW_KEY, "-keyout", self.key(name), "-out", self.pem(name),
                "-days", "2", "-subj", f"/CN={name}")
        return self.pem(name)

    def issue(self, name, names="IP:127.0.0.1", authority="ca"):
        """names: as in subjectAltName; None for a client's certificate."""
        kind = f"subjectAltName={names}" if names else "extendedKeyUsage=clientAuth"
        openssl("req", "-x509", *NEW_KEY, "-keyout", self.key(name), "-out", self.pem(name),
                "-CA", self.pem(authority), "-CAkey", self.key(authority), "-days", "2",
                "-subj", f"/CN={name}", "-addext", kind,
                "-addext", "basicConstraints=critical,CA:FALSE")
        return self.pem(name)

    def expired(self, name):
        """A certificate of its own that ended yesterday."""
        request = self.folder / f"{name}.csr"
        openssl("req", "-new", *NEW_KEY, "-keyout", self.key(name), "-out", request,
                "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-signkey", self.key(name), "-days", "-1",
                "-out", self.pem(name))

    def entry(self, name, key=None):
        """An element of tls.certificates."""
        return f'{{ certificate = "{self.pem(name)}"; key = "{self.key(key or name)}"; }}'

    def certificates(self, *names):
        return f"tls.certificates=( {', '.join(map(self.entry, names))} )"

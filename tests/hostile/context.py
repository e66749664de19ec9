"""What every case works with: sessions with the relay, tokens, whole deliveries, memory and log."""
import base64
import os
import random
import time

from wire import CRLF, Connection, Fail, Gone, Skip, Slow, show


class Context:
    def __init__(self, options, sink):
        self.options, self.sink = options, sink
        self.local = options.local_domain.encode()
        self.sources = 0
        self.connections = []
        self.source = None
        self.patient = True
        self.size_limit = 0
        self.retry_works = None  # set by CL01

    def need_retry(self):
        if self.retry_works is False:
            raise Skip("no retry in CL01, so loss and slow retry cannot be told apart")

    def new_source(self):
        """A client address of its own, so that limits that one case met do not colour the next."""
        if not self.options.source_net:
            return None
        self.sources += 1
        return "%s.%d.%d" % (
            self.options.source_net, (self.sources >> 8) & 255, self.sources & 255 or 1)

    def token(self, prefix=b"tk"):
        return prefix + b"%012x" % random.getrandbits(48)

    def rcpt(self, prefix=b"u-", token=None):
        return prefix + (token or self.token()) + b"@" + self.local

    def open(self, port=None, source=None, timeout=6.0):
        for _ in range(8):  # 421 = busy: allow the relay a moment to recover
            client = Connection(self, port or self.options.port, timeout, source)
            reply = client.reply()
            if reply.code != 421 or not self.patient:
                break
            client.close()
            time.sleep(0.5)
        if reply.code != 220:
            raise Gone("greeting %r" % reply)
        return client

    def smtp(self, port=None, source=None, timeout=6.0, name=b"client.test"):
        client = self.open(port, source, timeout)
        if client.ehlo(name).code != 250:
            raise Fail("EHLO refused")
        return client

    def tls_port(self):
        for port in (self.options.port, self.options.submission_port):
            if port:
                client = self.smtp(port)
                offered = "STARTTLS" in client.caps
                client.close()
                if offered:
                    return port
        raise Skip("no port offers STARTTLS")

    def smtps(self, port=None, source=None):
        """EHLO, STARTTLS, EHLO."""
        client = self.smtp(port or self.tls_port(), source)
        reply = client.command(b"STARTTLS")
        if reply.code != 220:
            raise Skip("STARTTLS answered %r" % reply)
        client.start_tls()
        if client.ehlo().code != 250:
            raise Fail("EHLO after STARTTLS refused")
        return client

    def submission(self, source=None):
        """A session under TLS on a submission port, not yet authenticated."""
        options = self.options
        if not options.user:
            raise Skip("no --user/--password")
        if options.submission_port:
            client = self.smtp(options.submission_port, source)
            if "STARTTLS" in client.caps:
                if client.command(b"STARTTLS").code != 220:
                    raise Fail("STARTTLS refused on submission port")
                client.start_tls()
                client.ehlo()
        elif options.tls_port:
            client = Connection(self, options.tls_port, 6.0, source)
            client.start_tls()
            if client.reply().code != 220:
                raise Fail("no greeting on TLS port")
            client.ehlo()
        else:
            raise Skip("no submission port")
        if "AUTH" not in client.caps:
            raise Skip("AUTH not offered")
        return client

    def plain(self, user=None, password=None, authorize=b""):
        user = self.options.user.encode() if user is None else user
        password = self.options.password.encode() if password is None else password
        return base64.b64encode(authorize + b"\0" + user + b"\0" + password)

    def envelope(self, client, rcpts, sender=b"sender@client.test"):
        reply = client.command(b"MAIL FROM:<" + sender + b">")
        if reply.code != 250:
            raise Fail("MAIL refused: %r" % reply)
        for address in rcpts:
            reply = client.command(b"RCPT TO:<" + address + b">")
            if reply.code not in (250, 251):
                raise Fail("RCPT %s refused: %r" % (show(address), reply))

    def data(self, client):
        reply = client.command(b"DATA")
        if reply.code != 354:
            raise Fail("DATA refused: %r" % reply)

    def deliver(self, rcpts, content, sender=b"sender@client.test", client=None, timeout=15,
                source=None):
        """A whole transaction with content that is already dot-stuffed; the final reply."""
        own = client is None
        client = client or self.smtp(source=source)
        self.envelope(client, rcpts, sender)
        self.data(client)
        client.send(content if content.endswith(CRLF) else content + CRLF)
        client.send(b".\r\n")
        reply = client.reply(timeout)
        if own:
            try:
                client.send(b"QUIT\r\n")
            except (Gone, Slow):
                pass
            client.close()
        return reply

    def message(self, token, extra=b"", body=b"hello"):
        return (b"From: <sender@client.test>\r\nTo: <x@" + self.local + b">\r\nSubject: " + token +
                b"\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <" + token +
                b"@client.test>\r\n" + extra + b"\r\n" + body + b"\r\n")

    def sentinel(self):
        """An ordinary message must still pass; returns when it has arrived."""
        token = self.token(b"sentinel")
        wait = self.options.deliver_wait
        reply = self.deliver(
            [self.rcpt(b"s-", token)], self.message(token), source=self.new_source())
        if reply.code != 250:
            raise Fail("ordinary message refused afterwards: %r" % reply)
        if not self.sink.wait(lambda: self.sink.to(token), wait):
            raise Fail("ordinary message accepted but not delivered in %.0fs" % wait)
        time.sleep(0.3)

    def arrive(self, token, count=1, wait=None):
        self.sink.wait(lambda: len(self.sink.to(token)) >= count, wait or self.options.deliver_wait)
        return self.sink.to(token)

    def process_tree(self):
        children = {}
        for name in os.listdir("/proc"):
            try:
                with open("/proc/%d/stat" % int(name)) as file:
                    text = file.read()
            except (OSError, ValueError):
                continue
            parent = int(text[text.rindex(")") + 2 :].split()[1])
            children.setdefault(parent, []).append(int(name))
        tree, left = [], [self.options.pid]
        while left:
            pid = left.pop()
            tree.append(pid)
            left += children.get(pid, [])
        return tree

    def memory(self):
        """MiB that the relay's processes use, shared pages counted in part; None: not known."""
        if not self.options.pid:
            return None
        total_kib = 0
        for pid in self.process_tree():
            try:
                with open("/proc/%d/smaps_rollup" % pid) as file:
                    lines = [line.split() for line in file if line.startswith("Pss:")]
                total_kib += sum(int(words[1]) for words in lines)
            except OSError:
                pass
        return total_kib / 1024.0

    def log_size(self):
        try:
            return os.path.getsize(self.options.log_file) if self.options.log_file else 0
        except OSError:
            return 0

    def log_since(self, at):
        if not self.options.log_file:
            return b""
        try:
            with open(self.options.log_file, "rb") as file:
                file.seek(at)
                return file.read(8 << 20)
        except OSError:
            return b""

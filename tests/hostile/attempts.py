"""What the relay's log says became of the attempts, for tests where every domain is a case."""
import re

DELIVERED, DEFERRED, FAILED = "delivered", "deferred", "failed"


def attempts(log, domain, local="r"):
    """(outcome, rest of the line) of each attempt for local@domain, in order."""
    address = re.escape(local + "@" + domain)
    return re.findall(r" (delivered|deferred|failed) (id=\S+ .*to=%s .*)" % address, log)


def message(subject, body=b"hi\r\n"):
    return (b"From: <s@back.example>\r\nTo: <r@dest.example>\r\nSubject: " + subject +
            b"\r\n\r\n" + body)

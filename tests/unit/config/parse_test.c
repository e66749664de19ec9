/*
 * What the loader says about files that are wrong: each text and, to the letter, its diagnostics.
 */
#include "unit.h"

#include <stdlib.h>

#include "config/files.h"

static const struct unit_file files[] = {
    {"empty", "# nobody yet\n"
              "\n"},
    {"circle", "spool /y;\n"
               "include \"circle2\";\n"},
    {"circle2", "include \"circle\";\n"},
    {"wrong", "# included\n"
              "  usr x;\n"},
    {"brace", "message 5M; }\n"},
    {"nets", "# the office\n"
             "192.0.2.0/24\n"
             "\n"
             "  192.0.2.1/24   # typing mistake\r\n"
             "home\n"},
    {"people", "a@example.org\n"
               "b\n"
               "@example.org\n"},
    {"deep1", "include \"deep2\";\n"},
    {"deep2", "include \"deep3\";\n"},
    {"deep3", "include \"deep4\";\n"},
    {"deep4", "include \"deep5\";\n"},
    {"deep5", "include \"deep6\";\n"},
    {"deep6", "include \"deep7\";\n"},
    {"deep7", "include \"deep8\";\n"},
    {"deep8", "include \"deep9\";\n"},
};

static const struct {
    const char *name, *text, *expected;
} rows[] = {
    {"unknown statement with a suggestion", "hostnme relay.example;\n",
     "main:1:1: error: unknown statement \"hostnme\"\n"
     "    1 | hostnme relay.example;\n"
     "      | ^~~~~~~ did you mean \"hostname\"?\n"},
    {"unknown statement far from all", "banana 5;\n",
     "main:1:1: error: unknown statement \"banana\"\n"
     "    1 | banana 5;\n"
     "      | ^~~~~~ expected hostname, spool, user, control, log, stop-grace, listen, "
     "network, domain, connect, relay, route, pool, destinations, limits, queue, deliver, "
     "resolver or include\n"},
    {"later: TLS", "tls certificate \"/etc/cert.pem\";\n",
     "main:1:1: error: \"tls\": this version has no TLS yet\n"
     "    1 | tls certificate \"/etc/cert.pem\";\n"
     "      | ^~~\n"},
    {"later: logins", "users file \"/etc/users\";\n",
     "main:1:1: error: \"users\": this version has no logins yet\n"
     "    1 | users file \"/etc/users\";\n"
     "      | ^~~~~\n"},
    {"later: submission listener", "listen submission [::]:587;\n",
     "main:1:8: error: \"submission\": this version has no logins yet\n"
     "    1 | listen submission [::]:587;\n"
     "      |        ^~~~~~~~~~\n"},
    {"later: HTTP listener", "listen http 127.0.0.1:8025;\n",
     "main:1:8: error: \"http\": this version has no status page yet\n"
     "    1 | listen http 127.0.0.1:8025;\n"
     "      |        ^~~~\n"},
    {"later: login in a rule", "relay { allow login sender owned; }\n",
     "main:1:15: error: \"login\": this version has no logins yet\n"
     "    1 | relay { allow login sender owned; }\n"
     "      |               ^~~~~\n"},
    {"later: certificate in a rule", "relay { allow cert x; }\n",
     "main:1:15: error: \"cert\": this version has no TLS yet\n"
     "    1 | relay { allow cert x; }\n"
     "      |               ^~~~\n"},
    {"later: open relay block", "relay open { allow from 192.0.2.1; }\n",
     "main:1:7: error: \"open\": this version has no declared open mode yet\n"
     "    1 | relay open { allow from 192.0.2.1; }\n"
     "      |       ^~~~\n"},
    {"later: limit per user", "relay { allow from 192.0.2.1 limit 5/hour per user; }\n",
     "main:1:47: error: \"user\": this version has no logins yet\n"
     "    1 | relay { allow from 192.0.2.1 limit 5/hour per user; }\n"
     "      |                                               ^~~~\n"},
    {"missing semicolon at the end of a line",
     "hostname relay.example\n"
     "spool /x;\n",
     "main:1:23: error: a \";\" is missing\n"
     "    1 | hostname relay.example\n"
     "      |                       ^ each statement ends with \";\"\n"},
    {"missing semicolon before a brace", "queue { lifetime 5d }\n",
     "main:1:20: error: a \";\" is missing\n"
     "    1 | queue { lifetime 5d }\n"
     "      |                    ^ each statement ends with \";\"\n"},
    {"missing semicolon at the end of the file", "hostname relay.example",
     "main:1:23: error: a \";\" is missing\n"
     "    1 | hostname relay.example\n"
     "      |                       ^ each statement ends with \";\"\n"},
    {"missing semicolon after a list",
     "network a 192.0.2.1\n"
     "domain b example.org;\n",
     "main:1:20: error: a \";\" is missing\n"
     "    1 | network a 192.0.2.1\n"
     "      |                    ^ each statement ends with \";\"\n"},
    {"missing semicolon after a rule",
     "relay {\n"
     "  allow from 192.0.2.1\n"
     "  refuse;\n"
     "}\n",
     "main:2:23: error: a \";\" is missing\n"
     "    2 |   allow from 192.0.2.1\n"
     "      |                       ^ each statement ends with \";\"\n"},
    {"semicolon alone", ";\n",
     "main:1:1: error: \";\": there is no statement before it\n"
     "    1 | ;\n"
     "      | ^ remove it\n"},
    {"too many words", "spool /x y;\n",
     "main:1:10: error: \"y\": not expected here\n"
     "    1 | spool /x y;\n"
     "      |          ^ the statement should end with \";\"\n"},
    {"value missing", "spool;\n",
     "main:1:6: error: a path is missing\n"
     "    1 | spool;\n"
     "      |      ^\n"},
    {"unclosed block",
     "limits {\n"
     "  message 5M;\n",
     "main:1:8: error: a \"{\" without its \"}\"\n"
     "    1 | limits {\n"
     "      |        ^ the block must end in the same file\n"},
    {"closed without open", "spool /x; }\n",
     "main:1:11: error: a \"}\" without its \"{\"\n"
     "    1 | spool /x; }\n"
     "      |           ^ remove it\n"},
    {"unclosed string",
     "spool \"/x;\n"
     "user a;\n",
     "main:1:7: error: a string without its closing quote\n"
     "    1 | spool \"/x;\n"
     "      |       ^~~~ a string ends on the line on which it begins\n"},
    {"bad escape", "spool \"/x\\y\";\n",
     "main:1:10: error: a backslash that escapes nothing\n"
     "    1 | spool \"/x\\y\";\n"
     "      |          ^ in a string only \\\" and \\\\ are known\n"},
    {"control character", "spool /x\001y;\n",
     "main:1:9: error: a control character\n"
     "    1 | spool /x?y;\n"
     "      |         ^ remove it\n"
     "main:1:10: error: \"y\": not expected here\n"
     "    1 | spool /x?y;\n"
     "      |          ^ the statement should end with \";\"\n"},
    {"eight bit word is shown as it is", "sp\303\266l /x;\n",
     "main:1:1: error: unknown statement \"sp\303\266l\"\n"
     "    1 | sp\303\266l /x;\n"
     "      | ^~~~ did you mean \"spool\"?\n"},
    {"caret under eight bit text", "user \"\303\266\303\266\" x;\n",
     "main:1:6: error: \"\303\266\303\266\" is not the name of a user\n"
     "    1 | user \"\303\266\303\266\" x;\n"
     "      |      ^~~~\n"},
    {"tabs before the caret",
     "limits {\n"
     "\t\tmesage\t5M;\n"
     "}\n",
     "main:2:3: error: unknown setting \"mesage\"\n"
     "    2 | \t\tmesage\t5M;\n"
     "      | \t\t^~~~~~ did you mean \"message\"?\n"},
    {"set twice",
     "spool /x;\n"
     "spool /y;\n",
     "main:2:1: error: \"spool\": set twice\n"
     "    2 | spool /y;\n"
     "      | ^~~~~ first on line 1\n"},
    {"set twice in a block",
     "limits { errors 5; }\n"
     "limits { errors 6; }\n",
     "main:2:10: error: \"errors\": set twice\n"
     "    2 | limits { errors 6; }\n"
     "      |          ^~~~~~ first on line 1\n"},
    {"unknown setting", "limits { recipient 5; }\n",
     "main:1:10: error: unknown setting \"recipient\"\n"
     "    1 | limits { recipient 5; }\n"
     "      |          ^~~~~~~~~ did you mean \"recipients\"?\n"},
    {"not a number", "limits { connections many; }\n",
     "main:1:22: error: \"many\" is not a number\n"
     "    1 | limits { connections many; }\n"
     "      |                      ^~~~\n"},
    {"negative number", "limits { connections -1; }\n",
     "main:1:22: error: \"-1\" is not a number\n"
     "    1 | limits { connections -1; }\n"
     "      |                      ^~\n"},
    {"number too large for 64 bits", "limits { connections 99999999999999999999; }\n",
     "main:1:22: error: \"99999999999999999999\" is not a number\n"
     "    1 | limits { connections 99999999999999999999; }\n"
     "      |                      ^~~~~~~~~~~~~~~~~~~~\n"},
    {"out of limits", "limits { connections 0; }\n",
     "main:1:22: error: \"0\" is out of limits\n"
     "    1 | limits { connections 0; }\n"
     "      |                      ^ connections: 1 to 1000000\n"},
    {"size with a wrong unit", "limits { message 50MB; }\n",
     "main:1:18: error: \"50MB\" is not a size\n"
     "    1 | limits { message 50MB; }\n"
     "      |                  ^~~~ a number with K, M or G, as 50M\n"},
    {"size overflows", "limits { message 18446744073709551615G; }\n",
     "main:1:18: error: \"18446744073709551615G\" is not a size\n"
     "    1 | limits { message 18446744073709551615G; }\n"
     "      |                  ^~~~~~~~~~~~~~~~~~~~~ a number with K, M or G, as 50M\n"},
    {"duration without unit", "queue { lifetime 5; }\n",
     "main:1:18: error: \"5\" is not a duration\n"
     "    1 | queue { lifetime 5; }\n"
     "      |                  ^ a number with ms, s, m, h or d, as 30s\n"},
    {"duration out of limits", "deliver { connect-timeout 2h; }\n",
     "main:1:27: error: \"2h\" is out of limits\n"
     "    1 | deliver { connect-timeout 2h; }\n"
     "      |                           ^~ connect-timeout: 1s to 1h\n"},
    {"neither yes nor no", "deliver { allow-local maybe; }\n",
     "main:1:23: error: \"maybe\" is neither yes nor no\n"
     "    1 | deliver { allow-local maybe; }\n"
     "      |                       ^~~~~\n"},
    {"family", "deliver { family ipv5; }\n",
     "main:1:18: error: \"ipv5\" is not a choice of addresses\n"
     "    1 | deliver { family ipv5; }\n"
     "      |                  ^~~~ both, ipv4 or ipv6\n"},
    {"source of the wrong family", "deliver { source ::1; }\n",
     "main:1:18: error: \"::1\" is not an IPv4 address\n"
     "    1 | deliver { source ::1; }\n"
     "      |                  ^~~ an address of this machine, or none\n"},
    {"not a rate", "destinations { rate 10; }\n",
     "main:1:21: error: \"10\" is not a rate\n"
     "    1 | destinations { rate 10; }\n"
     "      |                     ^~ as 10/minute; a day at most; or none\n"},
    {"rate of nothing", "destinations { rate 0/minute; }\n",
     "main:1:21: error: \"0/minute\" is not a rate\n"
     "    1 | destinations { rate 0/minute; }\n"
     "      |                     ^~~~~~~~ as 10/minute; a day at most; or none\n"},
    {"hostname with a space in it", "hostname \"a b\";\n",
     "main:1:10: error: \"a b\" is not a host name\n"
     "    1 | hostname \"a b\";\n"
     "      |          ^~~~~ as relay.example.org\n"},
    {"hostname is an address", "hostname 192.0.2.1;\n",
     "main:1:10: error: \"192.0.2.1\" is not a host name\n"
     "    1 | hostname 192.0.2.1;\n"
     "      |          ^~~~~~~~~ as relay.example.org\n"},
    {"log level", "log level loud;\n",
     "main:1:11: error: unknown level \"loud\"\n"
     "    1 | log level loud;\n"
     "      |           ^~~~ expected debug, info, warning or error\n"},
    {"log word", "log xml;\n",
     "main:1:5: error: unknown word \"xml\"\n"
     "    1 | log xml;\n"
     "      |     ^~~ expected text, json, to or level\n"},
    {"forwarder", "resolver { forward dns.example; }\n",
     "main:1:20: error: \"dns.example\": not an address\n"
     "    1 | resolver { forward dns.example; }\n"
     "      |                    ^~~~~~~~~~~ as 192.0.2.53, 192.0.2.53:5353 or "
     "[2001:db8::53]:53\n"},
    {"block without braces", "limits message 5M;\n",
     "main:1:8: error: \"message\": not expected here\n"
     "    1 | limits message 5M;\n"
     "      |        ^~~~~~~ the settings of a block stand between { and }\n"},
    {"listen without a port", "listen smtp 192.0.2.1;\n",
     "main:1:13: error: \"192.0.2.1\": not an address and a port\n"
     "    1 | listen smtp 192.0.2.1;\n"
     "      |             ^~~~~~~~~ as 192.0.2.1:25, [::]:25 or unix:/path\n"},
    {"listen on port 0", "listen smtp 192.0.2.1:0;\n",
     "main:1:13: error: \"192.0.2.1:0\": not an address and a port\n"
     "    1 | listen smtp 192.0.2.1:0;\n"
     "      |             ^~~~~~~~~~~ as 192.0.2.1:25, [::]:25 or unix:/path\n"},
    {"listen option", "listen smtp 192.0.2.1:25 nam x;\n",
     "main:1:26: error: unknown option of a listener \"nam\"\n"
     "    1 | listen smtp 192.0.2.1:25 nam x;\n"
     "      |                          ^~~ did you mean \"name\"?\n"},
    {"mode without a socket", "listen smtp 192.0.2.1:25 mode 0600;\n",
     "main:1:31: error: \"0600\": only a unix socket has a mode\n"
     "    1 | listen smtp 192.0.2.1:25 mode 0600;\n"
     "      |                               ^~~~\n"},
    {"mode not octal", "listen smtp unix:/x mode 0698;\n",
     "main:1:26: error: \"0698\": not a mode\n"
     "    1 | listen smtp unix:/x mode 0698;\n"
     "      |                          ^~~~ 000 to 777, as 0660\n"},
    {"two listeners at one place",
     "listen smtp 192.0.2.1:25;\n"
     "listen smtp 192.0.2.1:25;\n",
     "main:2:13: error: two listeners at one place\n"
     "    2 | listen smtp 192.0.2.1:25;\n"
     "      |             ^~~~~~~~~~~~ the other is on line 1\n"},
    {"two listeners, one takes both families",
     "listen smtp [::]:25;\n"
     "listen smtp 0.0.0.0:25;\n",
     "main:2:13: error: two listeners at one place\n"
     "    2 | listen smtp 0.0.0.0:25;\n"
     "      |             ^~~~~~~~~~ the other is on line 1\n"},
    {"two listeners of one name",
     "listen smtp 192.0.2.1:25 name a;\n"
     "listen smtp 192.0.2.2:25 name a;\n",
     "main:2:13: error: two listeners of one name\n"
     "    2 | listen smtp 192.0.2.2:25 name a;\n"
     "      |             ^~~~~~~~~~~~ the other is on line 1\n"},
    {"unknown proxies", "listen smtp 192.0.2.1:25 proxies lb;\n",
     "main:1:34: error: unknown network \"lb\"\n"
     "    1 | listen smtp 192.0.2.1:25 proxies lb;\n"
     "      |                                  ^~ define it: network lb ...\n"},
    {"bits behind the prefix", "network a 192.0.2.1/24;\n",
     "main:1:11: error: \"192.0.2.1/24\": bits are set behind the prefix\n"
     "    1 | network a 192.0.2.1/24;\n"
     "      |           ^~~~~~~~~~~~ as 192.0.2.0/24 or 2001:db8::/32\n"},
    {"not an address", "network a office.example;\n",
     "main:1:11: error: \"office.example\": not an IPv4 or IPv6 address\n"
     "    1 | network a office.example;\n"
     "      |           ^~~~~~~~~~~~~~ as 192.0.2.0/24 or 2001:db8::/32\n"},
    {"prefix too long", "network a 2001:db8::/129;\n",
     "main:1:11: error: \"2001:db8::/129\": the prefix is a number from 0 to 128\n"
     "    1 | network a 2001:db8::/129;\n"
     "      |           ^~~~~~~~~~~~~~ as 192.0.2.0/24 or 2001:db8::/32\n"},
    {"commas in a set", "network a 192.0.2.1, 192.0.2.2;\n",
     "main:1:20: error: \",\": not expected here\n"
     "    1 | network a 192.0.2.1, 192.0.2.2;\n"
     "      |                    ^ in a set there are blanks between the entries\n"},
    {"network without entries", "network a;\n",
     "main:1:10: error: an address is missing\n"
     "    1 | network a;\n"
     "      |          ^ entries, or file \"...\"\n"},
    {"network without a name", "network;\n",
     "main:1:8: error: the name of the network is missing\n"
     "    1 | network;\n"
     "      |        ^\n"},
    {"network of a reserved name", "network file \"x\";\n",
     "main:1:9: error: \"file\": not a name\n"
     "    1 | network file \"x\";\n"
     "      |         ^~~~ a letter, then letters, digits, - and _; no reserved word\n"},
    {"network defined twice",
     "network a 192.0.2.1;\n"
     "network a 192.0.2.2;\n",
     "main:2:9: error: \"a\": defined twice\n"
     "    2 | network a 192.0.2.2;\n"
     "      |         ^ first on line 1\n"},
    {"all domains", "domain a *;\n",
     "main:1:10: error: \"*\": every domain there is\n"
     "    1 | domain a *;\n"
     "      |          ^ name the domains, or *.example.org for all below one\n"},
    {"all of a top-level domain", "domain a *.com;\n",
     "main:1:10: error: \"*.com\": everything below a top-level domain is too wide\n"
     "    1 | domain a *.com;\n"
     "      |          ^~~~~ at least two labels behind the \"*.\", as *.example.org\n"},
    {"domain with a leading dot", "domain a .example.org;\n",
     "main:1:10: error: \".example.org\": a domain does not begin with a dot\n"
     "    1 | domain a .example.org;\n"
     "      |          ^~~~~~~~~~~~ all domains below one are written *.example.org\n"},
    {"domain in unicode", "domain a b\303\274cher.example;\n",
     "main:1:10: error: \"b\303\274cher.example\": a domain is written in ASCII\n"
     "    1 | domain a b\303\274cher.example;\n"
     "      |          ^~~~~~~~~~~~~~ write international names in their ASCII form "
     "(xn--...)\n"},
    {"domain that is none", "domain a exa..mple.org;\n",
     "main:1:10: error: \"exa..mple.org\": not a domain\n"
     "    1 | domain a exa..mple.org;\n"
     "      |          ^~~~~~~~~~~~~ as example.org or *.example.org\n"},
    {"address for a domain", "domain a user@example.org;\n",
     "main:1:10: error: \"user@example.org\": an address where a domain belongs\n"
     "    1 | domain a user@example.org;\n"
     "      |          ^~~~~~~~~~~~~~~~ as example.org or *.example.org\n"},
    {"recipient without a domain", "domain a example.org recipients user;\n",
     "main:1:33: error: \"user\": not an address: local@domain\n"
     "    1 | domain a example.org recipients user;\n"
     "      |                                 ^~~~\n"},
    {"unknown network with a suggestion",
     "network office 192.0.2.0/24;\n"
     "relay {\n"
     "    allow  from ofice;\n"
     "}\n",
     "main:3:17: error: unknown network \"ofice\"\n"
     "    3 |     allow  from ofice;\n"
     "      |                 ^~~~~ did you mean \"office\" (line 1)?\n"},
    {"unknown network, far from all",
     "network office 192.0.2.0/24;\n"
     "relay { allow from home; }\n",
     "main:2:20: error: unknown network \"home\"\n"
     "    2 | relay { allow from home; }\n"
     "      |                    ^~~~ define it: network home ...\n"},
    {"a set of the other kind",
     "domain ours example.org;\n"
     "relay { allow from ours; }\n",
     "main:2:20: error: unknown network \"ours\"\n"
     "    2 | relay { allow from ours; }\n"
     "      |                    ^~~~ of that name there is a set of domains (line 1)\n"},
    {"neither set nor domain", "relay { allow to a+b; }\n",
     "main:1:18: error: \"a+b\": neither a name nor an entry\n"
     "    1 | relay { allow to a+b; }\n"
     "      |                  ^~~ the name of a set of domains, or as example.org\n"},
    {"unknown pool",
     "pool upstream { smtp a.example; }\n"
     "route pool upstraem;\n",
     "main:2:12: error: unknown pool \"upstraem\"\n"
     "    2 | route pool upstraem;\n"
     "      |            ^~~~~~~~ did you mean \"upstream\" (line 1)?\n"},
    {"empty table in an allow rule",
     "network a file \"empty\";\n"
     "relay { allow from a; }\n",
     "main:2:20: error: the network \"a\" is empty\n"
     "    2 | relay { allow from a; }\n"
     "      |                    ^ an empty list is nobody: this rule would allow nothing "
     "it says\n"},
    {"open to everybody, IPv4", "relay { allow from 0.0.0.0/0; }\n",
     "main:1:20: error: this rule is open to everybody: an open relay\n"
     "    1 | relay { allow from 0.0.0.0/0; }\n"
     "      |                    ^~~~~~~~~ name your own networks; a declared open mode "
     "comes with a later version\n"},
    {"open to everybody, IPv6 in a set",
     "network all ::/0;\n"
     "relay { allow from all; }\n",
     "main:2:20: error: this rule is open to everybody: an open relay\n"
     "    2 | relay { allow from all; }\n"
     "      |                    ^~~ name your own networks; a declared open mode comes "
     "with a later version\n"},
    {"open to everybody, in two halves", "relay { allow from 0.0.0.0/1, 128.0.0.0/1; }\n",
     "main:1:20: error: this rule is open to everybody: an open relay\n"
     "    1 | relay { allow from 0.0.0.0/1, 128.0.0.0/1; }\n"
     "      |                    ^~~~~~~~~ name your own networks; a declared open mode "
     "comes with a later version\n"},
    {"a stranger can meet it: sender", "relay { allow sender example.org; }\n",
     "main:1:9: error: \"allow\": a stranger can meet all conditions of this rule: it needs "
     "\"from\" or \"to\"\n"
     "    1 | relay { allow sender example.org; }\n"
     "      |         ^~~~~\n"},
    {"a stranger can meet it: nothing", "relay { allow; }\n",
     "main:1:9: error: \"allow\": a stranger can meet all conditions of this rule: it needs "
     "\"from\" or \"to\"\n"
     "    1 | relay { allow; }\n"
     "      |         ^~~~~\n"},
    {"a stranger can meet it: not from", "relay { allow not from 192.0.2.1; }\n",
     "main:1:9: error: \"allow\": a stranger can meet all conditions of this rule: it needs "
     "\"from\" or \"to\"\n"
     "    1 | relay { allow not from 192.0.2.1; }\n"
     "      |         ^~~~~\n"},
    {"recipient at connect", "connect { refuse to example.org; }\n",
     "main:1:11: error: \"refuse\": sender and recipient are not known when a client "
     "connects\n"
     "    1 | connect { refuse to example.org; }\n"
     "      |           ^~~~~~\n"},
    {"unknown condition", "relay { allow form 192.0.2.1; }\n",
     "main:1:15: error: unknown condition \"form\"\n"
     "    1 | relay { allow form 192.0.2.1; }\n"
     "      |               ^~~~ did you mean \"from\"?\n"},
    {"unknown action", "relay { permit from 192.0.2.1; }\n",
     "main:1:9: error: unknown action \"permit\"\n"
     "    1 | relay { permit from 192.0.2.1; }\n"
     "      |         ^~~~~~ expected allow, refuse or defer\n"},
    {"not without a condition", "relay { allow not; }\n",
     "main:1:18: error: unexpected \";\" in place of the condition\n"
     "    1 | relay { allow not; }\n"
     "      |                  ^ expected from, on, to, sender, reverse, blocklist or not\n"},
    {"unknown listener",
     "listen smtp 192.0.2.1:25 name inside;\n"
     "relay { allow from 192.0.2.1 on insde; }\n",
     "main:2:33: error: unknown listener \"insde\"\n"
     "    2 | relay { allow from 192.0.2.1 on insde; }\n"
     "      |                                 ^~~~~ did you mean \"inside\"?\n"},
    {"limit of a refusal", "relay { refuse limit 5/hour; }\n",
     "main:1:9: error: \"refuse\": only a rule that allows can have a limit\n"
     "    1 | relay { refuse limit 5/hour; }\n"
     "      |         ^~~~~~\n"},
    {"limit that is none", "relay { allow from 192.0.2.1 limit 5/fortnight; }\n",
     "main:1:36: error: \"5/fortnight\": not a limit\n"
     "    1 | relay { allow from 192.0.2.1 limit 5/fortnight; }\n"
     "      |                                    ^~~~~~~~~~~ a number and a second, minute, "
     "hour or day, as 100/minute\n"},
    {"reply of an allow", "relay { allow from 192.0.2.1 reply 550 \"no\"; }\n",
     "main:1:9: error: \"allow\": a rule that allows gives no reply\n"
     "    1 | relay { allow from 192.0.2.1 reply 550 \"no\"; }\n"
     "      |         ^~~~~\n"},
    {"reply of the wrong class", "relay { refuse reply 450 \"no\"; }\n",
     "main:1:9: error: \"refuse\": the reply of a refusal begins with 5\n"
     "    1 | relay { refuse reply 450 \"no\"; }\n"
     "      |         ^~~~~~\n"},
    {"reply code", "relay { refuse reply 250 \"yes\"; }\n",
     "main:1:22: error: \"250\": not the code of a reply\n"
     "    1 | relay { refuse reply 250 \"yes\"; }\n"
     "      |                      ^~~ 400 to 599, as: reply 550 5.7.1 \"not for us\"\n"},
    {"reply without quotes", "relay { refuse reply 550 5.7.1 no; }\n",
     "main:1:32: error: \"no\": the text of a reply stands in quotes\n"
     "    1 | relay { refuse reply 550 5.7.1 no; }\n"
     "      |                                ^~ reply 550 5.7.1 \"not for us\"\n"},
    {"enhanced code", "relay { refuse reply 550 5.7 \"no\"; }\n",
     "main:1:26: error: \"5.7\": not an enhanced status code\n"
     "    1 | relay { refuse reply 550 5.7 \"no\"; }\n"
     "      |                          ^~~ as 5.7.1\n"},
    {"reply text not ASCII", "relay { refuse reply 550 \"n\303\266\"; }\n",
     "main:1:9: error: \"refuse\": the text of a reply is printable ASCII\n"
     "    1 | relay { refuse reply 550 \"n\303\266\"; }\n"
     "      |         ^~~~~~\n"},
    {"blocklist zone", "connect { refuse blocklist 127.0.0.1; }\n",
     "main:1:28: error: \"127.0.0.1\": not a blocklist's zone\n"
     "    1 | connect { refuse blocklist 127.0.0.1; }\n"
     "      |                            ^~~~~~~~~ as bl.example.org\n"},
    {"blocklist answer", "connect { refuse blocklist bl.example answer 10.0.0.1; }\n",
     "main:1:46: error: \"10.0.0.1\": not an answer of a blocklist\n"
     "    1 | connect { refuse blocklist bl.example answer 10.0.0.1; }\n"
     "      |                                              ^~~~~~~~ as 127.0.0.2 or "
     "127.0.0.2-127.0.0.11\n"},
    {"blocklist weight", "connect { refuse blocklist bl.example weight 0; }\n",
     "main:1:46: error: \"0\": out of limits\n"
     "    1 | connect { refuse blocklist bl.example weight 0; }\n"
     "      |                                              ^ 1 to 1000, or -1000 to -1\n"},
    {"blocklist score out of reach",
     "connect { refuse blocklist a.example, b.example weight 2 at 4; }\n",
     "main:1:28: error: \"a.example\": the weights never reach the score\n"
     "    1 | connect { refuse blocklist a.example, b.example weight 2 at 4; }\n"
     "      |                            ^~~~~~~~~ lower \"at\", or raise the weights\n"},
    {"relay twice",
     "relay { refuse; }\n"
     "relay { refuse; }\n",
     "main:2:1: error: \"relay\": stands twice\n"
     "    2 | relay { refuse; }\n"
     "      | ^~~~~ first on line 1; all its rules stand in one block\n"},
    {"recipients do not mix",
     "domain a example.org recipients x@example.org;\n"
     "relay { allow to a, example.net; }\n",
     "main:2:18: error: a set of domains with recipients stands alone\n"
     "    2 | relay { allow to a, example.net; }\n"
     "      |                  ^ write a rule for it\n"},
    {"route without a way", "route to example.org;\n",
     "main:1:21: error: unexpected \";\" in place of the way to go on\n"
     "    1 | route to example.org;\n"
     "      |                     ^ expected mx, smtp, lmtp, pool, refuse, to or from\n"},
    {"route way", "route to example.org stmp a.example;\n",
     "main:1:22: error: unknown way to go on \"stmp\"\n"
     "    1 | route to example.org stmp a.example;\n"
     "      |                      ^~~~ did you mean \"smtp\"?\n"},
    {"lmtp without a port", "route lmtp a.example;\n",
     "main:1:12: error: \"a.example\": LMTP has no port of its own: name one\n"
     "    1 | route lmtp a.example;\n"
     "      |            ^~~~~~~~~ as 192.0.2.1:24, or unix:/path\n"},
    {"smtp to a socket", "route smtp unix:/x;\n",
     "main:1:12: error: \"unix:/x\": a unix socket speaks LMTP\n"
     "    1 | route smtp unix:/x;\n"
     "      |            ^~~~~~~ lmtp unix:/path\n"},
    {"IPv6 hop without brackets", "route smtp 2001:db8::1;\n",
     "main:1:12: error: \"2001:db8::1\": an IPv6 address stands in brackets\n"
     "    1 | route smtp 2001:db8::1;\n"
     "      |            ^~~~~~~~~~~ as mail.example.org:25, 192.0.2.1 or [2001:db8::1]:25\n"},
    {"name in brackets", "route smtp [mail.example]:25;\n",
     "main:1:12: error: \"[mail.example]:25\": brackets stand round IPv6 addresses only\n"
     "    1 | route smtp [mail.example]:25;\n"
     "      |            ^~~~~~~~~~~~~~~~~ as mail.example.org:25, 192.0.2.1 or "
     "[2001:db8::1]:25\n"},
    {"port of a hop", "route smtp a.example:70000;\n",
     "main:1:12: error: \"a.example:70000\": a port is a number from 1 to 65535\n"
     "    1 | route smtp a.example:70000;\n"
     "      |            ^~~~~~~~~~~~~~~ as mail.example.org:25, 192.0.2.1 or "
     "[2001:db8::1]:25\n"},
    {"empty pool", "pool a { }\n",
     "main:1:6: error: \"a\": the pool is empty\n"
     "    1 | pool a { }\n"
     "      |      ^ smtp HOST; or lmtp HOST:PORT;\n"},
    {"weight of a hop", "pool a { smtp b.example weight 0; }\n",
     "main:1:32: error: \"0\": out of limits\n"
     "    1 | pool a { smtp b.example weight 0; }\n"
     "      |                                ^ weight: 1 to 1000\n"},
    {"option of a hop", "pool a { smtp b.example wieght 3; }\n",
     "main:1:25: error: unknown option of a next hop \"wieght\"\n"
     "    1 | pool a { smtp b.example wieght 3; }\n"
     "      |                         ^~~~~~ did you mean \"weight\"?\n"},
    {"TLS of a pool", "pool a { smtp b.example; tls verify; }\n",
     "main:1:26: error: \"tls\": this version has no TLS yet\n"
     "    1 | pool a { smtp b.example; tls verify; }\n"
     "      |                          ^~~\n"},
    {"refusing route without quotes", "route to a.example refuse gone;\n",
     "main:1:27: error: \"gone\": the reason stands in quotes\n"
     "    1 | route to a.example refuse gone;\n"
     "      |                           ^~~~ refuse \"no mail for this domain\"\n"},
    {"include without a file", "include;\n",
     "main:1:1: error: \"include\": names one file\n"
     "    1 | include;\n"
     "      | ^~~~~~~ include \"file\";\n"},
    {"include of a missing file", "include \"missing\";\n",
     "main:1:9: error: cannot read \"missing\": No such file or directory\n"
     "    1 | include \"missing\";\n"
     "      |         ^~~~~~~~~\n"},
    {"include of itself", "include \"main\";\n",
     "main:1:9: error: this file is being included already\n"
     "    1 | include \"main\";\n"
     "      |         ^~~~~~ a file cannot include itself, not even through others\n"},
    {"include in a circle", "include \"circle\";\n",
     "circle2:1:9: error: this file is being included already\n"
     "    1 | include \"circle\";\n"
     "      |         ^~~~~~~~ a file cannot include itself, not even through others\n"},
    {"error in an included file",
     "spool /x;\n"
     "include \"wrong\";\n",
     "wrong:2:3: error: unknown statement \"usr\"\n"
     "    2 |   usr x;\n"
     "      |   ^~~ did you mean \"user\"?\n"},
    {"block that ends in another file",
     "limits {\n"
     " include \"brace\";\n",
     "main:1:8: error: a \"{\" without its \"}\"\n"
     "    1 | limits {\n"
     "      |        ^ the block must end in the same file\n"
     "brace:1:13: error: a \"}\" without its \"{\"\n"
     "    1 | message 5M; }\n"
     "      |             ^ remove it\n"},
    {"include as deep as a well", "include \"deep1\";\n",
     "deep7:1:9: error: too many includes inside one another\n"
     "    1 | include \"deep8\";\n"
     "      |         ^~~~~~~ at most 8\n"},
    {"error in a table of networks",
     "network a file \"nets\";\n"
     "relay { allow from a; }\n",
     "nets:4:3: error: \"192.0.2.1/24\": bits are set behind the prefix\n"
     "    4 |   192.0.2.1/24   # typing mistake\n"
     "      |   ^~~~~~~~~~~~ as 192.0.2.0/24 or 2001:db8::/32\n"
     "nets:5:1: error: \"home\": not an IPv4 or IPv6 address\n"
     "    5 | home\n"
     "      | ^~~~ as 192.0.2.0/24 or 2001:db8::/32\n"},
    {"error in a table of recipients", "domain a example.org recipients file \"people\";\n",
     "people:2:1: error: \"b\": not an address: local@domain\n"
     "    2 | b\n"
     "      | ^\n"
     "people:3:1: error: \"@example.org\": not an address: local@domain\n"
     "    3 | @example.org\n"
     "      | ^~~~~~~~~~~~\n"},
    {"table missing",
     "network a file \"missing\";\n"
     "relay { allow from a; }\n",
     "main:1:16: error: cannot read \"missing\": No such file or directory\n"
     "    1 | network a file \"missing\";\n"
     "      |                ^~~~~~~~~\n"},
    {"nothing in the file", "",
     "main: error: no \"hostname\"\n"
     "      | hostname relay.example.org;\n"
     "main: error: no \"listen\": nobody could reach us\n"
     "      | listen smtp [::]:25;\n"
     "main: error: no \"relay\" block: it says who may relay\n"
     "      | relay { allow from office; }\n"},
    {"no listener",
     "hostname relay.example;\n"
     "relay { allow from 192.0.2.1; }\n",
     "main: error: no \"listen\": nobody could reach us\n"
     "      | listen smtp [::]:25;\n"},
    {"no relay",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n",
     "main: error: no \"relay\" block: it says who may relay\n"
     "      | relay { allow from office; }\n"},
    {"rule that never matches",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "relay {\n"
     "  allow from 192.0.2.1;\n"
     "  refuse;\n"
     "  allow to example.org;\n"
     "}\n",
     "main:6:3: warning: this rule can never match\n"
     "    6 |   allow to example.org;\n"
     "      |   ^~~~~ the rule on line 5 already decides all that it could\n"},
    {"rule that stands before",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "relay {\n"
     "  refuse from 192.0.2.1;\n"
     "  allow to example.org from 192.0.2.1;\n"
     "  allow from 192.0.2.2;\n"
     "}\n",
     "main:5:3: warning: this rule can never match\n"
     "    5 |   allow to example.org from 192.0.2.1;\n"
     "      |   ^~~~~ the rule on line 4 already decides all that it could\n"},
    {"route that never matches",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "relay { allow from 192.0.2.1; }\n"
     "route mx;\n"
     "route to example.org smtp a.example;\n",
     "main:5:1: warning: this route can never match\n"
     "    5 | route to example.org smtp a.example;\n"
     "      | ^~~~~ the route on line 4 takes all mail\n"},
    {"nobody may relay",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "relay { }\n",
     "main:3:1: warning: no rule allows anything: nobody may relay\n"
     "    3 | relay { }\n"
     "      | ^~~~~\n"},
    {"empty set in a refusal",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "network bad file \"empty\";\n"
     "relay {\n"
     "  refuse from bad;\n"
     "  allow from 192.0.2.1;\n"
     "}\n",
     "main:5:15: warning: the network \"bad\" is empty\n"
     "    5 |   refuse from bad;\n"
     "      |               ^~~ an empty list is nobody\n"},
    {"empty recipients",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "domain a example.org recipients file \"empty\";\n"
     "relay { allow to a; }\n",
     "main:4:18: warning: the recipients of \"a\" are empty\n"
     "    4 | relay { allow to a; }\n"
     "      |                  ^ an empty list is nobody\n"},
    {"recipient outside the set",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "domain a example.org recipients x@example.net;\n"
     "relay { allow to a; }\n",
     "main:3:33: warning: \"x@example.net\": its domain is not in this set\n"
     "    3 | domain a example.org recipients x@example.net;\n"
     "      |                                 ^~~~~~~~~~~~~ nobody will match it\n"},
    {"hostname without a domain",
     "hostname relay;\n"
     "listen smtp [::]:25;\n"
     "relay { allow from 192.0.2.1; }\n",
     "main: warning: the hostname has no domain\n"
     "      | others expect a name that the DNS knows\n"},
    {"warning after the end",
     "hostname relay.example;\n"
     "listen smtp [::]:25;\n"
     "relay { allow from 192.0.2.1; }\n"
     "queue { lifetime 1h; warn-after 4h; }\n",
     "main:4:22: warning: nobody is ever warned of a delay\n"
     "    4 | queue { lifetime 1h; warn-after 4h; }\n"
     "      |                      ^~~~~~~~~~ warn-after is not shorter than lifetime\n"},
    {"all errors in one run",
     "hostnme a;\n"
     "limits { errors x; recipients 0; }\n"
     "relay { allow form a; allow to *; refuse }\n"
     "route nowhere;\n"
     "user b;\n",
     "main:1:1: error: unknown statement \"hostnme\"\n"
     "    1 | hostnme a;\n"
     "      | ^~~~~~~ did you mean \"hostname\"?\n"
     "main:2:17: error: \"x\" is not a number\n"
     "    2 | limits { errors x; recipients 0; }\n"
     "      |                 ^\n"
     "main:2:31: error: \"0\" is out of limits\n"
     "    2 | limits { errors x; recipients 0; }\n"
     "      |                               ^ recipients: 1 to 100000\n"
     "main:3:15: error: unknown condition \"form\"\n"
     "    3 | relay { allow form a; allow to *; refuse }\n"
     "      |               ^~~~ did you mean \"from\"?\n"
     "main:3:32: error: \"*\": every domain there is\n"
     "    3 | relay { allow form a; allow to *; refuse }\n"
     "      |                                ^ name the domains, or *.example.org for all "
     "below one\n"
     "main:3:41: error: a \";\" is missing\n"
     "    3 | relay { allow form a; allow to *; refuse }\n"
     "      |                                         ^ each statement ends with \";\"\n"
     "main:4:7: error: unknown way to go on \"nowhere\"\n"
     "    4 | route nowhere;\n"
     "      |       ^~~~~~~ expected mx, smtp, lmtp, pool, refuse, to or from\n"},
};

static void test_diagnostics(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct config_diagnostics *diagnostics = config_diagnostics_new();
        struct config *config = unit_load(rows[i].text, files, COUNT(files), diagnostics);
        struct buffer text;

        buffer_init(&text, 1024 * 1024);
        config_diagnostics_write(diagnostics, &text);
        if (!span_equal(buffer_span(&text), span_text(rows[i].expected))) {
            print_error("row \"%s\"\n", rows[i].name);
        }
        assert_span(buffer_span(&text), rows[i].expected);
        assert_row(rows[i].name, (config == NULL) == (config_diagnostics_errors(diagnostics) > 0));
        buffer_done(&text);
        config_release(config);
        config_diagnostics_free(diagnostics);
    }
}

/* Whatever is cut off, the loader says something sensible and does not fall over. */
static void test_every_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t size = strlen(rows[i].text);
        char *text = strdup(rows[i].text);

        assert_non_null(text);
        while (size-- > 0) {
            struct config_diagnostics *diagnostics = config_diagnostics_new();

            text[size] = '\0';
            struct config *config = unit_load(text, files, COUNT(files), diagnostics);
            assert_row(rows[i].name,
                       (config == NULL) == (config_diagnostics_errors(diagnostics) > 0));
            config_release(config);
            config_diagnostics_free(diagnostics);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diagnostics),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

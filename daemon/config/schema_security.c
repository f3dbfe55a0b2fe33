/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of `security` and `access`; see schema.c. */
#include "config/syntax.h"
#include "config/tables.h"

enum {
        HINT_MAX = 127,     /* libcoap's buffer for it, COAP_DTLS_HINT_LENGTH */
        IDENTITY_MAX = 128, /* what GnuTLS takes of a client */
        KEY_MAX = 64,       /* what libcoap's clients can hold, COAP_DTLS_MAX_PSK */
};

static const struct conf_row identity_rows[] = {
        { ROW(CONF_STRING, conf_psk_identity, identity), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_NAME,
          .min = 1, .max = IDENTITY_MAX, .example = "\"sensor-1\"",
          .doc = "The name that the client gives." },
        { ROW(CONF_STRING, conf_psk_identity, key_file),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_PRIVATE,
          .example = "\"/etc/coapd/sensor-1.key\"",
          .doc = "A file that holds the key, as it is. A newline at its end is not part of the key. Nobody "
                 "but the owner and group of the file may have access to it." },
        { ROW(CONF_STRING, conf_psk_identity, key), .flags = CONF_RELOAD | CONF_SECRET, .min = 1,
          .max = KEY_MAX, .example = "\"correct horse battery staple\"",
          .doc = "The key itself, as text. One of key_file, key and key_hex is needed, and key_file is the "
                 "safe one." },
        { ROW(CONF_STRING, conf_psk_identity, key_hex), .flags = CONF_RELOAD | CONF_SECRET,
          .check = syntax_hex, .min = 2, .max = 2LL * KEY_MAX,
          .example = "\"00112233445566778899aabbccddeeff\"", .doc = "The key itself, as hex digits." },
};

static const struct conf_group identity_group = { .name = "identities",
                                                  GROUP_OF(conf_psk_identity, identity_rows),
                                                  .doc = "The clients and their keys, 1 to 64 bytes each." };

static const struct conf_row psk_rows[] = {
        { ROW(CONF_STRING, conf_psk, hint), .flags = CONF_RELOAD, .min = 1, .max = HINT_MAX,
          .example = "\"coapd\"", .doc = "What coapd says of itself so that a client can choose its key." },
        { ROW(CONF_LIST, conf_psk, identities), .flags = CONF_RELOAD, .group = &identity_group,
          .example = "(\n  { identity = \"sensor-1\"; key_file = \"/etc/coapd/sensor-1.key\"; }\n)" },
};

static const struct conf_group psk_group = { .name = "psk",
                                             GROUP_OF(conf_psk, psk_rows),
                                             .doc = "Pre-shared keys for DTLS and TLS." };

static const struct conf_row pki_rows[] = {
        { ROW(CONF_STRING, conf_pki, certificate),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_TOKEN,
          .example = "\"/etc/coapd/server.crt\"",
          .doc = "The certificate that coapd shows, in PEM, with the intermediate ones behind it; or a "
                 "PKCS#11 URI." },
        { ROW(CONF_STRING, conf_pki, private_key),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_PRIVATE | CONF_TOKEN | CONF_SECRET,
          .example = "\"/etc/coapd/server.key\"",
          .doc = "Its private key, in PEM. Nobody but its owner and group may have access to it. Or a "
                 "PKCS#11 "
                 "URI of a key that never leaves its token; the PIN may be in the URI, better as pin-source, "
                 "a "
                 "file, than as pin-value. The unit lets coapd open a token only if what it consists of is "
                 "there "
                 "for "
                 "the service: for SoftHSM's own folder a drop-in (systemctl edit coapd) has "
                 "SupplementaryGroups=softhsm and ReadWritePaths=/var/lib/softhsm, and the token must be one "
                 "that the "
                 "user "
                 "coapd has made; for one on a device it has PrivateDevices=no and DeviceAllow= with its "
                 "name." },
        { ROW(CONF_STRING, conf_pki, ca), .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE,
          .example = "\"/etc/coapd/ca.crt\"",
          .doc = "The authorities whose client certificates are accepted, in PEM." },
        { ROW(CONF_STRING, conf_pki, crl), .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE,
          .example = "\"/etc/coapd/ca.crl\"",
          .doc = "The lists of certificates that were revoked, in PEM, each signed by one of ca: those of an "
                 "intermediate authority want it to be in ca, too. An authority that is revoked itself lets "
                 "nobody in, also where ca names it. One without a list is believed in all that it signed. A "
                 "list "
                 "that has ended lets nobody of its authority in before there is a new one." },
        { ROW(CONF_BOOL, conf_pki, require_client_certificate), .flags = CONF_RELOAD, .fallback = "false",
          .doc = "Turns away clients that show no certificate of one of the authorities." },
};

static const struct conf_group pki_group = { .name = "pki",
                                             GROUP_OF(conf_pki, pki_rows),
                                             .doc = "Certificates (X.509) for DTLS and TLS." };

static const struct conf_row rpk_rows[] = {
        { ROW(CONF_STRING, conf_rpk, private_key),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_PRIVATE,
          .example = "\"/etc/coapd/server-rpk.key\"",
          .doc = "The private key, in PEM. Nobody but its owner and group may have access to it." },
};

static const struct conf_group rpk_group = { .name = "rpk",
                                             GROUP_OF(conf_rpk, rpk_rows),
                                             .doc = "A raw public key (RFC 7250) for DTLS and TLS." };

static const struct conf_row sni_rows[] = {
        { ROW(CONF_STRINGS, conf_sni, names), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_NAME,
          .check = syntax_server_name, .max = 253, .example = "( \"coap.example.org\", \"*.example.net\" )",
          .doc = "The names. One that begins with *. stands for every name with one label more." },
        { ROW(CONF_GROUP, conf_sni, psk), .group = &psk_group,
          .doc = "Pre-shared keys; a group with the keys of security.psk." },
        { ROW(CONF_GROUP, conf_sni, pki), .group = &pki_group,
          .doc = "Certificates; a group with the keys of security.pki." },
};

static const struct conf_group sni_group = {
        .name = "sni",
        GROUP_OF(conf_sni, sni_rows),
        .doc = "Keys of their own for clients that ask for one of these names (server name indication, RFC "
               "6066, 3), instead of security.psk and security.pki. Those are for all others. A client may "
               "ask for any of the "
               "names, and rules of access know it by its identity alone: psk:NAME and cert:SUBJECT are the "
               "same in all "
               "tables, so give no two clients one identity where they are not to have the same rights."
};

static const struct conf_row oscore_rows[] = {
        { ROW(CONF_STRING, conf_oscore, sender_id), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_EMPTY_OK,
          .check = syntax_oscore_id, .example = "\"01\"", .doc = "The id of coapd, as hex digits." },
        { ROW(CONF_STRINGS, conf_oscore, recipient_ids),
          .flags = CONF_RELOAD | CONF_REQUIRED | CONF_EMPTY_OK | CONF_NAME, .check = syntax_oscore_id,
          .example = "( \"02\" )",
          .doc = "The ids of the clients, as hex digits, at most 7 bytes each. While persist.observers is "
                 "set, twice the length of an id and the length of id_context must not be more than 11 bytes "
                 "together, as libcoap has no more room to remember such an observer." },
        { ROW(CONF_STRING, conf_oscore, id_context), .flags = CONF_RELOAD, .check = syntax_id_context,
          .example = "\"37cbf3210017a2d3\"", .doc = "The id context, as hex digits." },
        { ROW(CONF_STRING, conf_oscore, master_secret_file),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_PRIVATE,
          .example = "\"/etc/coapd/oscore-1.secret\"",
          .doc = "A file that holds the master secret, as hex digits. Nobody but the owner and group of the "
                 "file may have access to it." },
        { ROW(CONF_STRING, conf_oscore, master_secret), .flags = CONF_RELOAD | CONF_SECRET,
          .check = syntax_hex, .min = 2, .max = 256, .example = "\"0102030405060708090a0b0c0d0e0f10\"",
          .doc = "The master secret itself, as hex digits. One of master_secret_file and master_secret is "
                 "needed, and the file is safest." },
        { ROW(CONF_STRING, conf_oscore, master_salt), .flags = CONF_RELOAD, .check = syntax_hex, .min = 2,
          .max = 256, .example = "\"9e7ca92223786340\"", .doc = "The master salt, as hex digits." },
};

static const struct conf_group oscore_group = { .name = "oscore",
                                                GROUP_OF(conf_oscore, oscore_rows),
                                                .doc = "The contexts of OSCORE (RFC 8613), which protects "
                                                       "requests end to end over any endpoint. A reload "
                                                       "changes all of them: clients that are new, or "
                                                       "have other keys, are served at once, those that "
                                                       "are gone are refused, and observations of the "
                                                       "others go on. Over DTLS, TCP and WebSocket a "
                                                       "client that has a session already connects anew "
                                                       "to use keys that are new; sessions are never "
                                                       "dropped for it. There libcoap also answers no "
                                                       "request in the clear once a session has sent a "
                                                       "protected one. Until a restart there may be an "
                                                       "eighth of server.shards such changes, and over "
                                                       "UDP as many contexts, or changes of one's keys, "
                                                       "as the rest of them: beyond that clients with "
                                                       "other keys are refused, and the log says so." };

static const struct conf_row security_rows[] = {
        { ROW(CONF_GROUP, conf_security, psk), .group = &psk_group },
        { ROW(CONF_GROUP, conf_security, pki), .group = &pki_group },
        { ROW(CONF_GROUP, conf_security, rpk), .group = &rpk_group },
        { ROW(CONF_LIST, conf_security, sni), .flags = CONF_RELOAD, .group = &sni_group,
          .example = "(\n  { names = ( \"coap.example.org\" ); pki = { certificate = \"/etc/coapd/org.crt\"; "
                     "private_key = \"/etc/coapd/org.key\"; }; }\n)" },
        { ROW(CONF_LIST, conf_security, oscore), .flags = CONF_RELOAD, .group = &oscore_group,
          .example = "(\n  { sender_id = \"01\"; recipient_ids = ( \"02\" ); master_secret_file = "
                     "\"/etc/coapd/oscore-1.secret\"; }\n)" },
        { ROW(CONF_STRINGS, conf_security, oscore_files),
          .flags = CONF_RELOAD | CONF_PATH | CONF_KEY_FILE | CONF_PRIVATE,
          .example = "( \"/etc/coapd/sensor-1.oscore\" )",
          .doc = "More contexts of OSCORE, one in each file, as libcoap writes them down "
                 "(coap-oscore-conf(5)). "
                 "Nobody but the owner and group of a file may have access to it." },
        { ROW(CONF_STRINGS, conf_security, websocket_origins), .flags = CONF_RELOAD, .fallback = "( \"*\" )",
          .check = syntax_origin, .max = 300, .example = "( \"https://panel.example.org\" )",
          .doc = "The web pages whose scripts may connect over WebSocket, by the Origin that a browser tells "
                 "(RFC "
                 "6455, 10.2), \"*\" for all. A page of any site that somebody opens in a browser can else "
                 "ask coapd with "
                 "the address and the certificate of that browser: name your own pages where an endpoint is "
                 "coap+ws or "
                 "coaps+ws and rules of access let anyone, net: or cert: write. Clients that are no browsers "
                 "tell no "
                 "Origin, and always may." },
};

const struct conf_group conf_group_security = {
        .name = "security",
        GROUP_OF(conf_security, security_rows),
        .doc = "Who coapd is and whom it knows. Endpoints of the schemes coaps, coaps+tcp and coaps+ws need "
               "at least one of psk, pki, rpk and sni."
};

static const struct conf_row access_rows[] = {
        { ROW(CONF_STRING, conf_access_rule, path), .flags = CONF_RELOAD | CONF_REQUIRED, .max = 1000,
          .example = "\"/sensors/**\"",
          .doc = "The paths that the rule is about, with a slash in front. * stands for any characters "
                 "within one segment, ** as a whole segment for any number of segments, also none." },
        { ROW(CONF_STRINGS, conf_access_rule, methods), .flags = CONF_RELOAD | CONF_REQUIRED,
          .example = "( \"GET\", \"OBSERVE\" )",
          .doc = "What the rule is about: GET, POST, PUT, DELETE, FETCH, PATCH, iPATCH; OBSERVE, which an "
                 "observation needs beside GET or FETCH; CREATE, which a PUT or POST needs that makes a new "
                 "resource or a new file; or * for all of them." },
        { ROW(CONF_STRINGS, conf_access_rule, allow), .flags = CONF_RELOAD | CONF_REQUIRED | CONF_NONE_OK,
          .max = 300, .example = "( \"psk:sensor-1\", \"cert:CN=ops\", \"oscore:02\", \"net:10.0.0.0/8\" )",
          .doc = "Who may, everyone else may not: anyone; authenticated (has proved any key); psk:IDENTITY; "
                 "cert:CN=NAME, also with O, OU, DNS, URI and so on, several parts joined by commas, "
                 "where a comma within one stands behind a backslash (which takes two in the file); "
                 "rpk:SHA256 of a raw public key; oscore:RECIPIENT_ID; or net:ADDRESS/BITS, which a client "
                 "without a key can forge over UDP. A * behind the colon of psk, cert, rpk and oscore stands "
                 "for every client of that kind. An empty list closes the paths to everyone." },
};

const struct conf_group conf_group_access = {
        .name = "access",
        GROUP_OF(conf_access_rule, access_rows),
        .doc = "The rules of access. Without any, everyone may do everything but create resources, which "
               "always takes a rule with CREATE. With some, the first rule in the order of the file whose "
               "path and methods match decides, and what no rule matches is denied. So a narrow rule goes "
               "before a wide one."
};

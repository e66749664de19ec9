#include "gate/client.h"

#include "protocol/haproxy/header.h"

static enum gate_client_result find_behind_proxy(struct stream *stream, struct gate_client *client)
{
    struct haproxy_header header;
    switch (haproxy_header_parse(stream_input(stream), &header)) {
    case HAPROXY_HEADER_MORE:
        return stream_input_ended(stream) ? GATE_CLIENT_BAD : GATE_CLIENT_MORE;
    case HAPROXY_HEADER_BAD:
        return GATE_CLIENT_BAD;
    case HAPROXY_HEADER_DONE:
        break;
    }
    if (!header.is_local) {
        if (header.client.ip.family == IP_NONE) {
            return GATE_CLIENT_BAD; /* nobody becomes a local socket by saying so */
        }
        client->address = header.client;
        client->address.ip = ip_from_mapped(header.client.ip);
        client->local = header.server;
        client->local.ip = ip_from_mapped(header.server.ip);
        client->learnt = POLICY_BY_PROXY;
    }
    stream_consume(stream, header.size_bytes);
    return GATE_CLIENT_DONE;
}

enum gate_client_result gate_client_find(struct stream *stream, const struct ipset *proxies,
                                         struct gate_client *ret_client)
{
    struct gate_client client = {.learnt = POLICY_BY_SOCKET};
    client.socket = stream_peer(stream);
    client.socket.ip = ip_from_mapped(client.socket.ip);
    client.address = client.socket;
    client.local = stream_local(stream);
    client.local.ip = ip_from_mapped(client.local.ip);
    if (proxies != NULL && ipset_contains(proxies, client.socket.ip)) {
        enum gate_client_result result = find_behind_proxy(stream, &client);
        if (result != GATE_CLIENT_DONE) {
            return result;
        }
    }
    *ret_client = client;
    return GATE_CLIENT_DONE;
}

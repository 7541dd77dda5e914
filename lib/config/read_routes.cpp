// Where connections come from and go to: peers, tunnels, accept, services.

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "config/names.hpp"
#include "config/readers.hpp"

namespace backedpipe::config {
namespace {

constexpr std::size_t kMaxEndpoints = 16;

constexpr std::string_view kExpectedListen = "the address to listen on, such as \"127.0.0.1:2222\"";

// The names of a section that other sections refer to. Entries with errors of their own are
// included: a reference to such an entry is not another error.
struct KnownNames {
  std::string section;
  std::vector<std::string> names;
  bool readable = true;  // false: the section is not an object, so its names are not known

  bool contains(std::string_view name) const {
    return std::find(names.begin(), names.end(), name) != names.end();
  }
};

void check_reference(const Field& field, const std::string& name, const KnownNames& known) {
  if (!known.readable || known.contains(name)) return;
  field.fail_expected("expected a name from " + in_quotes(known.section) +
                      suggestion(name, known.names));
}

// Calls `read(field, name)` for every member whose name is valid; reports the others.
template <class Read>
void for_each_named(const OptionalField& section, std::string_view expected, Read read) {
  if (!section || !section->is(Node::Kind::object, expected)) return;
  for (const Node& child : section->node->children) {
    if (section->report->full()) return;
    const Field field = section->member(child);
    if (is_valid_name(child.key)) {
      read(field, child.key);
    } else {
      section->report->add(child.key_position, field.pointer,
                           "found " + in_quotes(child.key) + ", " + std::string(kExpectedName));
    }
  }
}

// Calls `read(field)` for every entry of a list.
template <class Read>
void for_each_item(const Field& list, Read read) {
  for (std::size_t i = 0; i < list.node->children.size() && !list.report->full(); ++i) {
    read(list.item(i));
  }
}

KnownNames names_of(const OptionalField& section, std::string name) {
  KnownNames known{.section = std::move(name), .names = {}};
  if (!section) return known;
  known.readable = section->node->kind == Node::Kind::object;
  if (!known.readable) return known;
  for (const Node& child : section->node->children)
    known.names.push_back(child.key);
  return known;
}

// Refuses a setting that has no effect with this kind of security: the user expects it to have one.
void refuse_for(const OptionalField& field, std::string_view key, Security security) {
  if (!field) return;
  field->fail("found a " + in_quotes(key) + ", expected none: with \"security\" " +
              in_quotes(to_string(security)) + " it would have no effect");
}

struct SecurityFile {
  OptionalField field;
  std::string_view key;
  std::string_view expected;
  bool needed;
};

void read_security_file(const ObjectReader& object, const ReadContext& context, Security security,
                        const SecurityFile& file, std::string& setting) {
  if (!file.needed) return refuse_for(file.field, file.key, security);
  if (!file.field) {
    if (!object.is_object()) return;
    object.field().fail("found no " + in_quotes(file.key) + ", expected the path of " +
                        std::string(file.expected) + ": \"security\" " +
                        in_quotes(to_string(security)) + " needs one");
    return;
  }
  if (auto path = read_path(*file.field, context.folder)) setting = std::move(*path);
}

// Reads "security" and the files that go with it, for peers and accept. False when the kind of
// security is not known.
template <class Link>
bool read_security(ObjectReader& object, const ReadContext& context, Link& link) {
  const OptionalField security = object.find("security");
  const OptionalField key = object.find("key_file");
  const OptionalField ca = object.find("ca_file");
  const OptionalField certificate = object.find("cert_file");
  if (security) {
    constexpr std::array kKinds{Security::psk, Security::tls, Security::none};
    std::array<std::string, kKinds.size()> names;
    std::transform(kKinds.begin(), kKinds.end(), names.begin(),
                   [](Security kind) { return std::string(to_string(kind)); });
    const auto choice = read_choice(*security, names);
    if (!choice) return false;
    link.security = kKinds[*choice];
  }
  const bool tls = link.security == Security::tls;
  read_security_file(
      object, context, link.security,
      {key, "key_file", tls ? "the private key" : "a key file", link.security != Security::none},
      tls ? link.certificates.key : link.key_file);
  read_security_file(object, context, link.security,
                     {ca, "ca_file", "the certificates of the CAs to trust", tls},
                     link.certificates.ca);
  read_security_file(object, context, link.security,
                     {certificate, "cert_file", "our certificate", tls},
                     link.certificates.certificate);
  return true;
}

void read_server_name(const Field& field, std::vector<std::string>& names) {
  if (!field.is(Node::Kind::string, "a host name or an IP address")) return;
  if (!is_valid_server_name(field.node->text)) {
    field.fail_expected(kExpectedServerName);
    return;
  }
  names.push_back(field.node->text);
}

// "server_name" or "allowed_names": the names that the server's certificate must have.
void read_server_names(const OptionalField& name, const OptionalField& names, PeerSettings& peer) {
  if (peer.security != Security::tls) {
    refuse_for(name, "server_name", peer.security);
    refuse_for(names, "allowed_names", peer.security);
    return;
  }
  if (name && names) {
    names->fail("found both \"server_name\" and \"allowed_names\", expected one of them");
    return;
  }
  if (name) read_server_name(*name, peer.allowed_names);
  if (!names || !names->is(Node::Kind::array, "of host names or IP addresses")) return;
  if (names->node->children.empty()) {
    names->fail(
        "found an empty list, expected at least one name; without the list, the hosts of "
        "\"endpoints\" are expected");
  }
  for_each_item(*names, [&](const Field& item) { read_server_name(item, peer.allowed_names); });
}

void read_endpoints(const Field& list, std::vector<Endpoint>& endpoints) {
  if (!list.is(Node::Kind::array, "of 1 to 16 addresses such as \"gw.example.org:7700\"")) return;
  if (list.node->children.empty() || list.node->children.size() > kMaxEndpoints) {
    list.fail("found a list of " + std::to_string(list.node->children.size()) + ", expected 1 to " +
              std::to_string(kMaxEndpoints) + " addresses");
    return;
  }
  std::set<std::string> seen;
  for_each_item(list, [&](const Field& item) {
    auto address = read_address(item, AddressRules{});
    if (!address) return;
    if (!seen.insert(canonical(*address)).second) {
      item.fail_expected("expected every endpoint once");
    }
    endpoints.push_back({std::move(address->host), address->port});
  });
}

PeerSettings read_peer(const Field& field, const std::string& name, const ReadContext& context) {
  PeerSettings peer;
  peer.name = name;
  ObjectReader object(field);
  if (const auto list = object.require("endpoints", "a list of the peer's addresses")) {
    read_endpoints(*list, peer.endpoints);
  }
  const OptionalField server_name = object.find("server_name");
  const OptionalField allowed_names = object.find("allowed_names");
  if (read_security(object, context, peer)) read_server_names(server_name, allowed_names, peer);
  object.finish();
  return peer;
}

ServiceSettings read_service(const Field& field, const std::string& name) {
  ServiceSettings service{.name = name, .target = {}};
  ObjectReader object(field);
  if (const auto target =
          object.require("target", "the address of the service, such as \"127.0.0.1:22\"")) {
    if (auto address = read_address(*target, kTargetRules)) service.target = std::move(*address);
  }
  object.finish();
  return service;
}

class TunnelReader {
 public:
  TunnelReader(const KnownNames& peers, ReadContext& context) : peers_(peers), context_(context) {}

  TunnelSettings read(const Field& field) {
    TunnelSettings tunnel;
    ObjectReader object(field);
    if (const auto name = object.require("name", "a name for the tunnel")) {
      read_own_name(*name, tunnel.name);
    }
    if (const auto listen = object.require("listen", kExpectedListen)) {
      if (auto address = read_address(*listen, kListenRules)) {
        context_.listens.claim(*listen, *address);
        tunnel.listen = std::move(*address);
      }
    }
    if (const auto peer = object.require("peer", "the name of a peer")) {
      if (auto name = read_name(*peer)) {
        check_reference(*peer, *name, peers_);
        tunnel.peer = std::move(*name);
      }
    }
    if (const auto service = object.require("service", "the name of a service of the peer")) {
      if (auto name = read_name(*service)) tunnel.service = std::move(*name);
    }
    object.finish();
    return tunnel;
  }

 private:
  void read_own_name(const Field& field, std::string& setting) {
    auto name = read_name(field);
    if (!name) return;
    if (!seen_.insert(*name).second) {
      field.fail_expected("expected a name that no other tunnel has");
    }
    setting = std::move(*name);
  }

  const KnownNames& peers_;
  ReadContext& context_;
  std::set<std::string> seen_;
};

class AcceptReader {
 public:
  AcceptReader(const KnownNames& services, ReadContext& context)
      : services_(services), context_(context) {}

  AcceptSettings read(const Field& field) {
    AcceptSettings accept;
    ObjectReader object(field);
    if (const auto listen = object.require("listen", kExpectedListen)) {
      if (auto address = read_address(*listen, kLinkListenRules)) {
        context_.listens.claim(*listen, *address);
        accept.listen = std::move(*address);
      }
    }
    read_security(object, context_, accept);
    const OptionalField allow = object.find("allow");
    if (allow) {
      read_allow(*allow, accept);
    } else if (accept.security != Security::none && object.is_object()) {
      field.fail(
          "found no \"allow\", expected the services that each identity may use, such as { "
          "\"laptop\": [\"ssh\"] } or { \"*\": [\"*\"] } for all");
    }
    object.finish();
    return accept;
  }

 private:
  void read_allow(const Field& field, AcceptSettings& accept) {
    if (!field.is(Node::Kind::object, "identities and their services")) return;
    if (field.node->children.empty()) {
      field.fail("found an empty object, expected at least one identity, or \"*\" for all");
      return;
    }
    for (const Node& child : field.node->children) {
      if (field.report->full()) return;
      const Field entry = field.member(child);
      const bool tls = accept.security == Security::tls;
      if (child.key != kAnyName &&
          !(tls ? is_valid_certificate_identity(child.key) : is_valid_identity(child.key))) {
        field.report->add(child.key_position, entry.pointer,
                          "found " + in_quotes(child.key) + ", " +
                              std::string(tls ? kExpectedCertificateIdentity : kExpectedIdentity) +
                              ", or \"*\" for all");
      } else if (child.key != kAnyName && accept.security == Security::none) {
        field.report->add(child.key_position, entry.pointer,
                          "found " + in_quotes(child.key) +
                              ", expected \"*\": with \"security\" \"none\" no client proves its "
                              "identity");
      } else {
        read_services(entry, accept.allow[child.key]);
      }
    }
  }

  void read_services(const Field& list, std::vector<std::string>& services) {
    if (!list.is(Node::Kind::array, "of service names, or [\"*\"] for all")) return;
    if (list.node->children.empty()) {
      list.fail("found an empty list, expected service names, or [\"*\"] for all");
      return;
    }
    for_each_item(list, [&](const Field& item) {
      if (!item.is(Node::Kind::string, "the name of a service, or \"*\" for all")) return;
      const std::string& name = item.node->text;
      if (name != kAnyName) check_reference(item, name, services_);
      services.push_back(name);
    });
  }

  const KnownNames& services_;
  ReadContext& context_;
};

}  // namespace

void read_routes(ObjectReader& root, ReadContext& context, Settings& settings) {
  const OptionalField peers = root.find("peers");
  const OptionalField tunnels = root.find("tunnels");
  const OptionalField accept = root.find("accept");
  const OptionalField services = root.find("services");
  const KnownNames peer_names = names_of(peers, "peers");
  const KnownNames service_names = names_of(services, "services");

  for_each_named(peers, "peer names and their settings",
                 [&](const Field& field, const std::string& name) {
                   settings.peers.push_back(read_peer(field, name, context));
                 });
  for_each_named(services, "service names and their settings",
                 [&](const Field& field, const std::string& name) {
                   settings.services.push_back(read_service(field, name));
                 });
  if (tunnels && tunnels->is(Node::Kind::array, "of tunnels")) {
    TunnelReader reader(peer_names, context);
    for_each_item(*tunnels,
                  [&](const Field& item) { settings.tunnels.push_back(reader.read(item)); });
  }
  if (accept && accept->is(Node::Kind::array, "of listeners for links")) {
    AcceptReader reader(service_names, context);
    for_each_item(*accept,
                  [&](const Field& item) { settings.accept.push_back(reader.read(item)); });
    if (!accept->node->children.empty() && service_names.readable && service_names.names.empty()) {
      accept->fail("found \"accept\" without \"services\", expected at least one service to offer");
    }
  }
  const auto has_entries = [](const OptionalField& list) {
    // A setting of the wrong kind is already reported, and was probably meant to have entries.
    return list && (list->node->kind != Node::Kind::array || !list->node->children.empty());
  };
  if (root.is_object() && !has_entries(tunnels) && !has_entries(accept)) {
    root.field().fail(
        "found neither \"tunnels\" nor \"accept\", expected at least one: there is nothing to do");
  }
}

}  // namespace backedpipe::config

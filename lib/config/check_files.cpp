#include "config/check_files.hpp"

#include <map>
#include <optional>
#include <utility>

#include "config/key_file.hpp"

namespace backedpipe {
namespace {

class KeyFileCheck {
 public:
  explicit KeyFileCheck(const std::string& config_file) : config_file_(config_file) {}

  void check(const PeerSettings& peer) {
    const KeyFile* keys = load(peer.key_file);
    if (keys == nullptr) return;
    if (const auto key = single_key(*keys, peer.key_file); !key) add(key.error());
  }

  void check(const AcceptSettings& accept, std::size_t index) {
    const KeyFile* keys = load(accept.key_file);
    if (keys == nullptr) return;
    for (const auto& [identity, services] : accept.allow) {
      if (identity == kAnyName || keys->find(identity) != nullptr) continue;
      // Valid identities hold nothing that a JSON pointer would have to escape.
      errors_.push_back({config_file_, 0, 0,
                         "/accept/" + std::to_string(index) + "/allow/" + identity,
                         "found an identity without a key, expected one of those in " +
                             in_quotes(accept.key_file, accept.key_file.size())});
    }
  }

  ConfigErrors take_errors() { return std::move(errors_); }

 private:
  // Null when the file is not fit for use; that is reported when it is first asked for.
  const KeyFile* load(const std::string& path) {
    const auto [place, is_new] = files_.try_emplace(path);
    if (is_new) {
      if (const auto keys = load_key_file(path)) {
        place->second = *keys;
      } else {
        add(keys.error());
      }
    }
    return place->second ? &*place->second : nullptr;
  }

  void add(const ConfigErrors& errors) {
    errors_.insert(errors_.end(), errors.begin(), errors.end());
  }

  const std::string& config_file_;
  std::map<std::string, std::optional<KeyFile>> files_;
  ConfigErrors errors_;
};

}  // namespace

ConfigErrors check_key_files(const Settings& settings, const std::string& config_file) {
  KeyFileCheck check(config_file);
  for (const PeerSettings& peer : settings.peers) {
    if (peer.security == Security::psk) check.check(peer);
  }
  for (std::size_t i = 0; i < settings.accept.size(); ++i) {
    if (settings.accept[i].security == Security::psk) check.check(settings.accept[i], i);
  }
  return check.take_errors();
}

}  // namespace backedpipe

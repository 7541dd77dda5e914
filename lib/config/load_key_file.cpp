#include "config/key_file.hpp"
#include "config/small_file.hpp"

namespace backedpipe {

Checked<KeyFile, ConfigErrors> load_key_file(const std::string& path) {
  const auto text = load_secret_file(path);
  if (!text) return Checked<KeyFile, ConfigErrors>::failure(text.error());
  return parse_key_file(text->view(), path);
}

Checked<KeyEntry, ConfigErrors> load_single_key(const std::string& path) {
  const auto keys = load_key_file(path);
  if (!keys) return Checked<KeyEntry, ConfigErrors>::failure(keys.error());
  return single_key(*keys, path);
}

}  // namespace backedpipe

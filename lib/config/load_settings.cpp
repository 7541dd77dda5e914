#include "config/load_settings.hpp"

#include <cerrno>
#include <optional>
#include <system_error>
#include <vector>

#include "config/document.hpp"
#include "config/open_file.hpp"
#include "config/parse_settings.hpp"

namespace backedpipe {

Checked<Settings, ConfigErrors> load_settings(const std::string& path) {
  const auto fail = [&path](const std::string& message) {
    return Checked<Settings, ConfigErrors>::failure({{path, 0, 0, "", message}});
  };
  const config::OpenFile file(path);
  if (!file.is_open())
    return fail(std::string("cannot open the file: ") + std::generic_category().message(errno));
  // One byte more than permitted, so that parse_settings() notices and reports a file that is too
  // long.
  std::vector<char> text(config::kMaxTextBytes + 1);
  const std::optional<std::size_t> size_bytes = file.read(text);
  if (!size_bytes)
    return fail(std::string("cannot read the file: ") + std::generic_category().message(errno));
  return parse_settings({text.data(), *size_bytes}, path);
}

}  // namespace backedpipe

#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <string.h>  // explicit_bzero
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "config/key_file.hpp"
#include "config/open_file.hpp"

namespace backedpipe {
namespace {

constexpr std::size_t kMaxKeyFileBytes = 1024 * 1024;

// Memory that held keys: of fixed size, so that growth leaves no copies, and overwritten at the
// end.
class SecretBuffer {
 public:
  explicit SecretBuffer(std::size_t size_bytes)
      : bytes_(std::make_unique<char[]>(size_bytes)), size_(size_bytes) {}
  SecretBuffer(const SecretBuffer&) = delete;
  SecretBuffer& operator=(const SecretBuffer&) = delete;
  ~SecretBuffer() { ::explicit_bzero(bytes_.get(), size_); }

  std::span<char> span() { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

std::string reason_of_errno() {
  return std::generic_category().message(errno);
}

// In single quotes, for a command that is to be pasted into a shell.
std::string shell_quoted(const std::string& path) {
  std::string text = "'";
  for (const char c : path)
    text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string octal(unsigned mode) {
  std::string text;
  for (int shift = 6; shift >= 0; shift -= 3) {
    text += static_cast<char>('0' + ((mode >> static_cast<unsigned>(shift)) & 7U));
  }
  return "0" + text;
}

// Why this file is not fit to hold keys; nothing when it is.
std::optional<std::string> refusal(const struct stat& status, const std::string& path) {
  if (!S_ISREG(status.st_mode)) return "is not a regular file, expected a key file";
  const uid_t user = ::geteuid();
  if (status.st_uid != user && status.st_uid != 0) {
    return "the key file belongs to user id " + std::to_string(status.st_uid) +
           ", expected root or the user of this process (" + std::to_string(user) + ")";
  }
  if ((status.st_mode & 077U) != 0) {
    return "the key file can be read or written by other users (mode " +
           octal(status.st_mode & 0777U) + "); run: chmod 600 " + shell_quoted(path);
  }
  return std::nullopt;
}

}  // namespace

Checked<KeyFile, ConfigErrors> load_key_file(const std::string& path) {
  const auto fail = [&path](const std::string& message) {
    return Checked<KeyFile, ConfigErrors>::failure({{path, 0, 0, "", message}});
  };
  const config::OpenFile file(path, config::OpenFile::NonBlocking{});
  if (!file.is_open()) return fail("cannot open the key file: " + reason_of_errno());
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) {
    return fail("cannot examine the key file: " + reason_of_errno());
  }
  if (const auto why = refusal(status, path)) return fail(*why);

  SecretBuffer text(kMaxKeyFileBytes + 1);
  const auto size_bytes = file.read(text.span());
  if (!size_bytes) return fail("cannot read the key file: " + reason_of_errno());
  if (*size_bytes > kMaxKeyFileBytes) {
    return fail("the key file is too large: expected at most 1 MiB");
  }
  return parse_key_file({text.span().data(), *size_bytes}, path);
}

Checked<KeyEntry, ConfigErrors> load_single_key(const std::string& path) {
  const auto keys = load_key_file(path);
  if (!keys) return Checked<KeyEntry, ConfigErrors>::failure(keys.error());
  return single_key(*keys, path);
}

}  // namespace backedpipe

#include "config/small_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string.h>  // explicit_bzero
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "config/open_file.hpp"

namespace backedpipe {
namespace {

constexpr std::size_t kMaxFileBytes = 1024 * 1024;

using Loaded = Checked<FileText, ConfigErrors>;

std::string reason_of_errno() {
  return std::generic_category().message(errno);
}

// In single quotes, so that the command can be pasted into a shell.
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

// systemd keeps credentials in a directory that only root and the service can read. It may grant
// the service access by an access control list; then the group bits of a file show the list's mask.
bool is_credential(const std::string& path) {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory != nullptr && *directory != '\0' &&
         path.rfind(std::string(directory) + "/", 0) == 0;
}

// Why this file must not hold keys; nothing when it may.
std::optional<std::string> not_secret(const struct stat& status, const std::string& path) {
  const uid_t user = ::geteuid();
  if (status.st_uid != user && status.st_uid != 0) {
    return "the key file belongs to user id " + std::to_string(status.st_uid) +
           ", expected root or the user of this process (" + std::to_string(user) + ")";
  }
  if ((status.st_mode & (is_credential(path) ? 037U : 077U)) != 0) {
    return "the key file can be read or written by other users (mode " +
           octal(status.st_mode & 0777U) + "); run: chmod 600 " + shell_quoted(path);
  }
  return std::nullopt;
}

Loaded load(const std::string& path, const std::string& kind, bool secret) {
  const auto fail = [&path](const std::string& message) {
    return Loaded::failure({{path, 0, 0, "", message}});
  };
  const config::OpenFile file(path, config::OpenFile::NonBlocking{});
  if (!file.is_open()) return fail("cannot open the " + kind + ": " + reason_of_errno());
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) {
    return fail("cannot examine the " + kind + ": " + reason_of_errno());
  }
  if (!S_ISREG(status.st_mode)) return fail("is not a regular file, expected a " + kind);
  if (secret) {
    if (const auto why = not_secret(status, path)) return fail(*why);
  }

  FileText text(kMaxFileBytes + 1);
  const auto size_bytes = file.read(text.buffer());
  if (!size_bytes) return fail("cannot read the " + kind + ": " + reason_of_errno());
  if (*size_bytes > kMaxFileBytes) {
    return fail("the " + kind + " is too large: expected at most 1 MiB");
  }
  text.set_size(*size_bytes);
  return text;
}

}  // namespace

FileText::~FileText() {
  if (bytes_) ::explicit_bzero(bytes_.get(), capacity_);
}

Checked<FileText, ConfigErrors> load_secret_file(const std::string& path) {
  return load(path, "key file", true);
}

Checked<FileText, ConfigErrors> load_public_file(const std::string& path, std::string_view kind) {
  return load(path, std::string(kind), false);
}

}  // namespace backedpipe

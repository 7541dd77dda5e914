#include "daemon/ctl/keygen.hpp"

#include <cerrno>
#include <fcntl.h>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "config/key_file.hpp"
#include "config/psk_key.hpp"
#include "config/small_file.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

std::string reason_of_errno() {
  return std::generic_category().message(errno);
}

// Advises on standard error if the key has gone to an unsafe place.
void advise_on_key(const std::string& identity) {
  struct stat output {};
  if (::isatty(STDOUT_FILENO) == 1) {
    std::cerr << "\nBoth ends need the same line, in a file that nobody else can read. Without "
                 "showing the key on a screen,\n"
                 "  backedpipctl keygen "
              << identity
              << " --client client.key --server clients.keys\n"
                 "writes a file for each end.\n";
  } else if (::fstat(STDOUT_FILENO, &output) == 0 && S_ISREG(output.st_mode) &&
             (output.st_mode & 077U) != 0) {
    std::cerr << "backedpipctl: other users can read or write the file that the key went to, and "
                 "backedpipd will refuse it: change its mode to 0600 (chmod 600)\n";
  }
}

// A file that is being written. Errors are sentences.
class Output {
 public:
  Output(const std::string& path, int flags)
      : path_(path), descriptor_(::open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, 0600)) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  bool is_open() const { return descriptor_ >= 0; }

  // Writes all of the text to disk, or leaves the file as long as it was.
  std::optional<std::string> append(std::string_view text) const {
    struct stat before {};
    if (::fstat(descriptor_, &before) != 0) return failure();
    while (!text.empty()) {
      const ssize_t written = ::write(descriptor_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return undo(before.st_size);
      text.remove_prefix(static_cast<std::size_t>(written));
    }
    // EINVAL: not a file on a disk, so there is nothing to synchronise.
    if (::fsync(descriptor_) != 0 && errno != EINVAL) return undo(before.st_size);
    return std::nullopt;
  }

 private:
  std::string failure() const { return "cannot write " + path_ + ": " + reason_of_errno(); }
  std::string undo(off_t size) const {
    const std::string why = failure();
    return ::ftruncate(descriptor_, size) == 0 ? why : why + "; part of a line is left in it";
  }

  std::string path_;
  int descriptor_;
};

// What prevents adding the identity to the server's key file; nothing if the file does not exist.
std::optional<std::string> check_server_file(const std::string& path, const std::string& identity,
                                             bool& ends_in_line) {
  struct stat status {};
  ends_in_line = true;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return "cannot open " + path + ": " + reason_of_errno();
  }
  if (S_ISREG(status.st_mode) && status.st_size == 0) return std::nullopt;
  const auto keys = load_key_file(path);
  if (!keys) return visible(to_string(keys.error()));
  if (keys->find(identity) != nullptr) {
    return path + " has a key for " + identity +
           " already: remove that line first, or choose "
           "another identity";
  }
  const auto text = load_secret_file(path);
  ends_in_line = text && text->view().ends_with('\n');
  return std::nullopt;
}

std::optional<std::string> write_files(const Options& options, const std::string& line) {
  bool ends_in_line = true;
  if (options.server_file) {
    if (auto why = check_server_file(*options.server_file, options.argument, ends_in_line)) {
      return why;
    }
  }
  if (options.client_file) {
    const Output file(*options.client_file, O_CREAT | O_EXCL);
    if (!file.is_open()) return "cannot make " + *options.client_file + ": " + reason_of_errno();
    if (auto why = file.append(line)) {
      ::unlink(options.client_file->c_str());
      return why;
    }
  }
  if (!options.server_file) return std::nullopt;
  const Output file(*options.server_file, O_CREAT | O_APPEND);
  auto why = file.is_open()
                 ? file.append((ends_in_line ? "" : "\n") + line)
                 : std::optional("cannot open " + *options.server_file + ": " + reason_of_errno());
  if (why && options.client_file) ::unlink(options.client_file->c_str());
  return why;
}

}  // namespace

ExitCode keygen(const Options& options) {
  PskKey key;
  if (::getentropy(key.bytes.data(), key.bytes.size()) != 0)
    return fail(ExitCode::failed, "no random bytes from the kernel: " + reason_of_errno());
  std::string line = format_key_line(options.argument, key) + '\n';
  if (!options.client_file && !options.server_file) {
    std::cout << line;
    wipe(line);
    advise_on_key(options.argument);
    return ExitCode::done;
  }
  const auto problem = write_files(options, line);
  wipe(line);
  if (problem) return fail(ExitCode::failed, visible(*problem));
  if (options.client_file)
    std::cout << "client: " << visible(*options.client_file) << " has its key\n";
  if (options.server_file)
    std::cout << "server: " << visible(*options.server_file)
              << " has it as well; reload to use it\n";
  return ExitCode::done;
}

}  // namespace backedpipe::ctl

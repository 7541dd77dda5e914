#include "net/keep/passed_descriptors.hpp"

#include <cstdint>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <unistd.h>

#include "net/keep/environment.hpp"

namespace backedpipe {

std::vector<PassedDescriptor> passed_descriptors() {
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  std::vector<PassedDescriptor> passed;
  if (whole_number(environment("LISTEN_PID")) != static_cast<std::uint64_t>(::getpid()))
    return passed;
  const std::uint64_t count = whole_number(environment("LISTEN_FDS"));
  std::string_view names = environment("LISTEN_FDNAMES");
  for (int descriptor = kFirst; passed.size() < count; ++descriptor) {
    if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) {
      throw std::runtime_error("LISTEN_FDS is " + std::to_string(count) + ", but descriptor " +
                               std::to_string(descriptor) + " is not open");
    }
    const std::size_t end = names.find(':');
    passed.push_back({std::string(names.substr(0, end)), descriptor});
    names.remove_prefix(end == std::string_view::npos ? names.size() : end + 1);
  }
  return passed;
}

}  // namespace backedpipe

// PassedSockets: listening sockets that the service manager has opened for the daemon, by name
// (systemd's socket activation, sd_listen_fds(3)). A tunnel takes the one that has its name, a
// listener for links on port 7700 the one named "accept-7700". What an earlier process of the
// daemon left is not among them: see KeptDescriptors. Owned by main(); each socket is given away
// once.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/address.hpp"
#include "net/keep/passed_descriptors.hpp"

namespace backedpipe {

class PassedSockets {
 public:
  PassedSockets() = default;  // none
  // Takes these descriptors. Throws std::runtime_error when one of them is not a listening stream
  // socket.
  explicit PassedSockets(const std::vector<PassedDescriptor>& passed);
  ~PassedSockets();
  PassedSockets(PassedSockets&& other) noexcept;
  PassedSockets& operator=(PassedSockets&&) = delete;

  // Gives away the first socket of that name; the caller must close it.
  std::optional<int> take(const std::string& name);

  static std::string name_of_link_listener(const Address& address);

  // Throws std::runtime_error with the names of the sockets that no listener has taken: connections
  // to them would wait for ever.
  void require_all_taken() const;

 private:
  std::multimap<std::string, int> descriptors_;  // those of one name in the order they were passed
};

}  // namespace backedpipe

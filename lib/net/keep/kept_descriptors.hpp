// KeptDescriptors: what the process before this one left with its Keeper, by name. Their names
// begin with "backedpipe-", or with "kept-" for a listening socket, which tells them from the
// sockets that the service manager has opened itself (PassedSockets). Owned by main(); each
// descriptor is given away once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/keep/passed_descriptors.hpp"

namespace backedpipe {

class KeptDescriptors {
 public:
  KeptDescriptors() = default;  // none
  // Moves the kept ones out of `passed`.
  static KeptDescriptors out_of(std::vector<PassedDescriptor>& passed);
  ~KeptDescriptors();
  KeptDescriptors(KeptDescriptors&& other) noexcept;
  KeptDescriptors& operator=(KeptDescriptors&&) = delete;

  // The name under which a listening socket is kept: "kept-ssh" for the tunnel "ssh", and likewise
  // "kept-accept-7700", "kept-control" and "kept-metrics". Several sockets may have one name, one
  // for each worker.
  static std::string name_of_listener(std::string_view listener);

  // Each name once.
  std::vector<std::string> names() const;
  // Gives away all of that name, in no particular order; the caller must close them.
  std::vector<int> take(const std::string& name);

  // One of that name for which `fits(descriptor)` holds.
  std::optional<int> take_one(const std::string& name, const std::function<bool(int)>& fits);

  // Ends those listening sockets for which `in_the_way(descriptor)` holds: their addresses are free,
  // although the keeper still has the sockets. They are still to be closed.
  void end_listeners(const std::function<bool(int)>& in_the_way) const;

  // Closes what nobody has taken, because it has no use under the present settings. Returns the
  // names, for Keeper::drop(): otherwise the keeper holds them for ever.
  std::vector<std::string> close_rest();

 private:
  std::multimap<std::string, int> descriptors_;
};

}  // namespace backedpipe

// Keeper: hands copies of descriptors to whoever starts the next process, so that they stay open
// after this one. That is systemd with its descriptor store (FDSTORE in sd_notify(3)), or
// "backedpipd --supervise", which speaks the same protocol. The next process finds them in
// KeptDescriptors. Owned by main(), used on one thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "config/checked.hpp"
#include "net/keep/notify_socket.hpp"

namespace backedpipe {

class Keeper {
 public:
  // There is one when NOTIFY_SOCKET is set and FDSTORE is a number above 0. systemd sets FDSTORE
  // itself from version 254 on; for older ones it stands in the unit. The error is a sentence for
  // people that says why nobody keeps descriptors.
  static Checked<Keeper> from_environment();

  // How many descriptors are kept at most, over all names.
  std::size_t most() const { return most_; }

  // Has copies kept under this name, in addition to what is kept under it. One that is kept already
  // is not kept a second time. Does not wait: false when the messages did not all go out, because
  // the keeper's queue is full or the name is not valid.
  [[nodiscard]] bool keep(std::string_view name, std::span<const int> descriptors) const;
  // Has everything closed that is kept under this name. The result is that of keep().
  [[nodiscard]] bool drop(std::string_view name) const;

 private:
  Keeper(NotifySocket socket, std::size_t most) : socket_(std::move(socket)), most_(most) {}

  NotifySocket socket_;
  std::size_t most_;
};

// Printable ASCII without ':', at most 255 bytes: what FDNAME may be.
bool is_valid_descriptor_name(std::string_view name);

}  // namespace backedpipe

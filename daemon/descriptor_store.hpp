// DescriptorStore: the descriptors that a supervisor holds for its child, and the socket on which
// the child reports: the other end of Keeper and ServiceManager, see sd_notify(3). Owned by the
// supervisor, which has one thread.
//
// What the child sends is checked like input from outside. Only messages of the child itself count.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "net/keep/passed_descriptors.hpp"

namespace backedpipe {

class DescriptorStore {
 public:
  // How many descriptors of the child it keeps at most. Further ones are closed.
  static constexpr std::size_t kMost = 512;
  // Names become one variable of the environment, which may have 128 KiB.
  static constexpr std::size_t kMostNameBytes = std::size_t{64} << 10;

  // Holds the sockets that were `given` to the supervisor itself. Throws std::system_error.
  explicit DescriptorStore(const std::vector<PassedDescriptor>& given);
  // Takes over what release() has described. Throws std::runtime_error when that is not in order.
  explicit DescriptorStore(std::string_view released);
  ~DescriptorStore();
  DescriptorStore(const DescriptorStore&) = delete;
  DescriptorStore& operator=(const DescriptorStore&) = delete;

  // To wait at until it is readable.
  int socket() const { return socket_; }
  // Where the child reports: the value of its NOTIFY_SOCKET.
  std::string address() const;

  // Reads the messages that have come, and ignores those of other processes than `child`. Carries
  // out what they say about descriptors. Calls `report` with the text of each.
  void receive(pid_t child, const std::function<void(std::string_view text)>& report);

  // Those for the next child: what was given first, then what is kept.
  std::vector<PassedDescriptor> all() const;

  // Lets everything stay open when this process executes another program, and describes it for
  // that. Undone by keep_closed(), if that program cannot be executed.
  std::string release();
  void keep_closed();

 private:
  struct Held {
    std::string name;
    int descriptor;
    bool given;
  };

  bool has(int descriptor) const;
  std::size_t kept() const;
  std::size_t name_bytes() const;
  void carry_out(std::string_view text, std::vector<int>& descriptors);
  void close_on_exec(bool close);

  int socket_ = -1;
  std::vector<Held> held_;
};

}  // namespace backedpipe

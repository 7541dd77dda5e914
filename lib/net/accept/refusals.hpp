// Refusals: says no to links, with a reason for the peer and a line in the log, and counts the links
// that did not get through their handshake. Owned by an Acceptor, on its thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "net/link/heard_link.hpp"

namespace backedpipe {

// Answers a HELLO with a refusal and closes the link.
void refuse_link(std::unique_ptr<Transport> transport, const Refused& refused);

class Refusals {
 public:
  struct Wording {
    std::string text{};      // empty: the reason's own
    std::string log_only{};  // comes after it, and the peer does not see it
  };

  void refuse(HeardLink link, Reason reason, const Wording& wording);
  // A link has failed before its HELLO was there.
  void count_failed_handshake() { ++counts_["handshake"]; }

  // By the name of the reason; "handshake" for those that did not get as far as a HELLO.
  const std::map<std::string_view, std::uint64_t>& counts() const { return counts_; }
  std::uint64_t total() const;

 private:
  std::map<std::string_view, std::uint64_t> counts_;
};

}  // namespace backedpipe

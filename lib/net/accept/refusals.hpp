// Refusals: refuses links, with a reason for the peer and a line in the log, and counts the links
// whose handshake failed. Owned by an Acceptor, on its thread.
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
    std::string text{};      // empty: the text of the reason
    std::string log_only{};  // appended in the log; the peer does not see it
  };

  void refuse(HeardLink link, Reason reason, const Wording& wording);
  // A link failed before its HELLO arrived.
  void count_failed_handshake() { ++counts_["handshake"]; }

  // By the name of the reason; "handshake" for links that failed before their HELLO.
  const std::map<std::string_view, std::uint64_t>& counts() const { return counts_; }
  std::uint64_t total() const;

 private:
  std::map<std::string_view, std::uint64_t> counts_;
};

}  // namespace backedpipe

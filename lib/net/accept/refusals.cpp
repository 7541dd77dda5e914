#include "net/accept/refusals.hpp"

#include <array>
#include <utility>
#include <vector>

#include <spdlog/spdlog.h>

#include "net/events/event_log.hpp"
#include "net/link/graceful_close.hpp"

namespace backedpipe {

void refuse_link(std::unique_ptr<Transport> transport, const Refused& refused) {
  const std::vector<std::byte> answer = encode(refused);
  const std::array<ConstBytes, 1> pieces{ConstBytes(answer)};
  // A few bytes into an empty send buffer: if they do not fit now, the peer is gone.
  transport->write(pieces);
  close_gracefully(std::move(transport));
}

void Refusals::refuse(HeardLink link, Reason reason, const Wording& wording) {
  ++counts_[name(reason)];
  const Hello& hello = link.hello;
  const std::string_view identity = link.transport->identity();
  const LogContext about({.session = hello.session,
                          .generation = hello.generation,
                          .service = hello.service,
                          .identity = identity,
                          .reason = name(reason)});
  spdlog::warn("session {} generation {}: refused {}{}{}: {}{}{}{}", to_string(hello.session),
               hello.generation, remote_address(link.transport->socket()),
               identity.empty() ? "" : ", identity ", identity, name(reason),
               wording.text.empty() ? "" : ": ", wording.text, wording.log_only);
  refuse_link(std::move(link.transport),
              {.reason = reason,
               .text = wording.text.empty() ? make_error_code(reason).message() : wording.text});
}

std::uint64_t Refusals::total() const {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counts_)
    sum += count;
  return sum;
}

}  // namespace backedpipe

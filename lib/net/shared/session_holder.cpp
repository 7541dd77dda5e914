#include "net/shared/session_holder.hpp"

#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

namespace backedpipe {

bool SessionHolder::take_over(HeardLink link) {
  if (!link.transport->move_to(io_)) return false;
  std::vector<std::byte> early(link.early.begin(), link.early.end());
  boost::asio::post(io_, [this, link = std::move(link), early = std::move(early)]() mutable {
    link.early = early;
    take_over_here(std::move(link));
  });
  return true;
}

void SessionHolder::expire(const SessionId& session) {
  boost::asio::post(io_, [this, session] { expire_here(session); });
}

void SessionHolder::make_room_for(Admission::Ticket ticket) {
  boost::asio::post(io_, [this, ticket] { make_room_here(ticket); });
}

}  // namespace backedpipe

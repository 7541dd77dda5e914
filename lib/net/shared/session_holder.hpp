// SessionHolder: a worker with sessions, as other workers see it. Requests may come from any thread
// and are carried out later on the worker's own thread. Owned by its worker, and lives as long as
// any worker runs.
#pragma once

#include <boost/asio/io_context.hpp>

#include "net/link/heard_link.hpp"
#include "session/accept/admission.hpp"

namespace backedpipe {

class SessionHolder {
 public:
  explicit SessionHolder(boost::asio::io_context& io) : io_(io) {}
  SessionHolder(const SessionHolder&) = delete;
  SessionHolder& operator=(const SessionHolder&) = delete;

  // The session of this HELLO lives here: moves the link to this worker. False: the link could not
  // be moved and is lost.
  bool take_over(HeardLink link);
  // Another session has taken this session's place.
  void expire(const SessionId& session);
  // Another handshake has taken this handshake's place.
  void make_room_for(Admission::Ticket ticket);

 protected:
  ~SessionHolder() = default;

 private:
  // The requests, on the worker's own thread. By then a request may no longer apply.
  virtual void take_over_here(HeardLink link) = 0;
  virtual void expire_here(const SessionId& session) = 0;
  virtual void make_room_here(Admission::Ticket ticket) = 0;

  boost::asio::io_context& io_;
};

}  // namespace backedpipe

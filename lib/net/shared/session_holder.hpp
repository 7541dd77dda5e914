// SessionHolder: a worker that has sessions, as the other workers see it. What they ask of it may be
// asked on any thread and is done a little later on its own. Owned by its worker, and there for as
// long as any worker runs.
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

  // The session that the HELLO names lives here, so the link lives here too from now on. False: the
  // link could not be moved and is lost.
  bool take_over(HeardLink link);
  // This session has lost its place to another one.
  void expire(const SessionId& session);
  // This handshake has lost its place to another one.
  void make_room_for(Admission::Ticket ticket);

 protected:
  ~SessionHolder() = default;

 private:
  // What was asked, on the worker's own thread. By then it may no longer apply.
  virtual void take_over_here(HeardLink link) = 0;
  virtual void expire_here(const SessionId& session) = 0;
  virtual void make_room_here(Admission::Ticket ticket) = 0;

  boost::asio::io_context& io_;
};

}  // namespace backedpipe

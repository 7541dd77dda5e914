// Vault: a second reference to each application's connection, so that the connections outlive a
// process that is killed. It is a pair of connected Unix sockets. Descriptors are sent into one end
// (SCM_RIGHTS, unix(7)) and not read from the other: the kernel keeps them open for as long as
// their message waits. Whoever holds duplicates of the two ends keeps all that is inside, however
// many, and need not know what it is. The next process gets duplicates of it with contents().
//
//   put end ──▶ [oldest][      ][      ][newest] ──▶ take end
//
// Nothing can be taken out of the middle of that queue. So a socket that is forgotten stays inside,
// dead, until its message is the oldest. From time to time the live sockets of the oldest messages
// are sent once more, many in one message, and only then are these messages taken out. A process
// may be killed at any point of that: a live socket may be inside twice, but it is never outside.
//
// Because of the second reference, close() ends no connection that was put here: say shutdown() or
// reset it first. It also takes no socket off an epoll: release it from its event loop first.
//
// One for the whole process. Used from any thread, about twice for each session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "net/shared/mutex.hpp"

namespace backedpipe {

// The two ends of a vault.
struct VaultEnds {
  int put;
  int take;
};

class Vault {
 public:
  // The ends of a new, empty vault, which the caller must close; nothing if the system has no
  // descriptors left (errno says so).
  static std::optional<VaultEnds> make_ends();
  // Whether these are sockets as make_ends() makes them. Not whether they belong together.
  static bool are_ends(const VaultEnds& ends);

  // Precondition: are_ends(). The ends are the vault's from now on and closed with it. Duplicates
  // of them keep what is inside.
  explicit Vault(VaultEnds ends);
  ~Vault();
  Vault(const Vault&) = delete;
  Vault& operator=(const Vault&) = delete;

  // To hand duplicates of them over to whoever shall keep them.
  const VaultEnds& ends() const { return ends_; }

  // --- while sessions come and go

  // The socket is inside from now on, if it was not before. False if the kernel takes no more, although room was made:
  // too many messages, or more descriptors under way than this user may have open. Then nothing
  // else has changed; such a session works, but is not kept.
  [[nodiscard]] bool put(int socket);
  // The socket is dead to the vault: from now on it may be closed in there at any time. Call this
  // before the descriptor is closed. Does nothing if it is not inside.
  void forget(int socket);
  // Closes all that is dead. Takes its time step by step, with the lock free between them. False if
  // the kernel refused a step.
  bool compact();

  // --- taking over from a process that is gone

  struct Kept {
    int descriptor;  // a duplicate, which the caller must close
    std::uint64_t cookie;
  };
  struct Contents {
    std::vector<Kept> sockets;  // each socket once
    // False: the process may have no more descriptors. To have the rest too, let it have more,
    // close these, and ask again.
    bool complete = true;
  };
  // Duplicates of all sockets inside, also of some that were dead to the previous process: about a
  // quarter of those that were live. What is no socket is left out. Nothing is taken out, by this
  // or by what follows, until compact() is called: if this process is killed before, the next one
  // finds all of it again. Precondition: nothing is live.
  Contents contents();
  // The socket, one from contents(), is live, and need not be put again. False if it is not inside.
  // To be called before compact(), which closes all that is neither adopted nor put.
  [[nodiscard]] bool adopt(int socket);

 private:
  // The place of a descriptor in the queue: how many were sent before it.
  using Place = std::uint64_t;

  bool send(std::span<const int> sockets) REQUIRES(mutex_);
  bool send_one(int socket) REQUIRES(mutex_);
  void tidy() REQUIRES(mutex_);
  bool clean_some() REQUIRES(mutex_);
  bool take_dead() REQUIRES(mutex_);
  bool take_oldest() REQUIRES(mutex_);
  std::vector<int> oldest_living() const REQUIRES(mutex_);
  bool is_oldest_dead() const REQUIRES(mutex_);
  bool is_living(Place place) const REQUIRES(mutex_);
  bool holds_more_than(std::size_t bytes) const REQUIRES(mutex_);

  const VaultEnds ends_;
  std::size_t capacity_bytes_;
  Mutex mutex_;
  // What is in the queue, the oldest first. A message that holds no descriptor counts too, but not
  // one without any bytes: see take_oldest().
  std::deque<std::size_t> messages_ GUARDED_BY(mutex_);  // the number of descriptors in each
  std::deque<int> sockets_ GUARDED_BY(mutex_);  // as they were put; -1 if put by another process
  std::uint64_t messages_taken_ GUARDED_BY(mutex_) = 0;
  Place taken_ GUARDED_BY(mutex_) = 0;  // the place of the oldest
  // Where each live socket is, by descriptor. If it was sent more than once, its newest place.
  std::unordered_map<int, Place> living_ GUARDED_BY(mutex_);
  // Of contents(), by cookie. Until compact(), nothing may be taken out.
  std::optional<std::unordered_map<std::uint64_t, Place>> found_ GUARDED_BY(mutex_);
};

// Identifies a socket, whatever process has a descriptor of it, for as long as the system runs
// (SO_COOKIE). 0 if the descriptor is no socket.
std::uint64_t cookie_of(int socket);

}  // namespace backedpipe

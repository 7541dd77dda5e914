// What the kernel counts, compared with what the test itself has counted: each fact that
// session/tcp_counts.hpp relies on, then many random connections, then processes that are killed.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <random>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "net/keep/connection_counts.hpp"
#include "net/keep/tcp_counts.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/descriptors.hpp"

namespace backedpipe::test {
namespace {

using State = TcpCounts::State;

void set(const Descriptor& socket, int level, int option, int value) {
  ASSERT_EQ(::setsockopt(socket.get(), level, option, &value, sizeof value), 0);
}

// How many bytes one call has read or written, as if it waited for nothing; minus errno if it
// failed.
std::int64_t read_some(const Descriptor& socket, std::size_t most) {
  std::vector<char> bytes(most);
  const ssize_t count = ::recv(socket.get(), bytes.data(), most, MSG_DONTWAIT);
  return count < 0 ? -errno : count;
}
std::int64_t write_some(const Descriptor& socket, std::size_t most, int flags = 0) {
  const std::vector<char> bytes(most);
  const ssize_t count =
      ::send(socket.get(), bytes.data(), most, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
  return count < 0 ? -errno : count;
}

void finish(const Descriptor& socket) {
  ::shutdown(socket.get(), SHUT_WR);
}
void reset(Descriptor& socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  socket.close();
}

// From now on nothing that arrives reaches this socket, as if the network had lost it.
void lose_all(const Descriptor& socket) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{.len = 1, .filter = &nothing};
  ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

void wait_for(const Descriptor& socket, short events) {
  pollfd poll{.fd = socket.get(), .events = events, .revents = 0};
  while ((poll.revents & events) == 0)
    ASSERT_EQ(::poll(&poll, 1, 60'000), 1);
}
void wait_for(const Descriptor& socket, State state) {
  while (tcp_counts(socket.get())->state != state)
    ::sched_yield();
}

// Our end of a connection, which was accepted, and the application's.
class TcpCountsOf : public testing::Test {
 protected:
  TcpCountsOf() {
    TcpPair pair = connect_tcp(listener_);
    near_ = std::move(pair.accepted);
    far_ = std::move(pair.dialled);
  }

  TcpCounts counts() const { return tcp_counts(near_.get()).value(); }
  std::optional<TcpMoved> moved(const TcpRecorded& recorded) const {
    return moved_since({}, counts(), recorded);
  }

  LoopbackListener listener_;
  Descriptor near_;
  Descriptor far_;
};

TEST_F(TcpCountsOf, AConnectionThatWasAcceptedAreZero) {
  const TcpBaseline baseline = baseline_of(counts());
  EXPECT_EQ(baseline.received, 0U);
  EXPECT_EQ(baseline.given, 0U);
}

TEST_F(TcpCountsOf, AConnectionThatWasDialledHaveItsSyn) {
  const TcpBaseline baseline = baseline_of(tcp_counts(far_.get()).value());
  EXPECT_EQ(baseline.received, 0U);
  EXPECT_EQ(baseline.given, 1U);
}

TEST_F(TcpCountsOf, AConnectionThatWasOnlyAcceptedIsUnused) {
  EXPECT_TRUE(is_unused(near_.get()));
  EXPECT_FALSE(is_unused(far_.get())) << "it was dialled";
  ASSERT_EQ(write_some(far_, 10), 10);
  finish(far_);
  wait_for(near_, POLLRDHUP);
  EXPECT_TRUE(is_unused(near_.get())) << "what has arrived was not read";
  ASSERT_EQ(read_some(near_, 4), 4);
  EXPECT_FALSE(is_unused(near_.get()));
}

TEST_F(TcpCountsOf, AConnectionThatWasWrittenToOrHasEndedIsUsed) {
  ASSERT_EQ(write_some(near_, 1), 1);
  EXPECT_FALSE(is_unused(near_.get()));
  const TcpPair finished = connect_tcp(listener_);
  finish(finished.accepted);
  EXPECT_FALSE(is_unused(finished.accepted.get()));
  TcpPair reset = connect_tcp(listener_);
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(::setsockopt(reset.dialled.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  reset.dialled.close();
  wait_for(reset.accepted, POLLERR);
  EXPECT_FALSE(is_unused(reset.accepted.get()));
}

TEST_F(TcpCountsOf, BytesThatHaveArrivedAreUnreadUntilTheyAreRead) {
  ASSERT_EQ(write_some(far_, 10), 10);
  wait_for(near_, POLLIN);
  EXPECT_EQ(counts().received, 10U);
  EXPECT_EQ(counts().unread, 10U);
  ASSERT_EQ(read_some(near_, 4), 4);
  EXPECT_EQ(counts().received, 10U);
  EXPECT_EQ(counts().unread, 6U);
}

TEST_F(TcpCountsOf, ThePeersEndIsReceivedAndNeverUnread) {
  ASSERT_EQ(write_some(far_, 10), 10);
  finish(far_);
  wait_for(near_, POLLRDHUP);
  EXPECT_EQ(counts().received, 11U);
  EXPECT_EQ(counts().unread, 10U);
  ASSERT_EQ(read_some(near_, 100), 10);
  EXPECT_EQ(counts().unread, 0U);
  ASSERT_EQ(read_some(near_, 100), 0);
  EXPECT_EQ(counts().received, 11U);
  EXPECT_EQ(counts().unread, 0U);
  EXPECT_EQ(counts().state, State::end_received);
}

TEST_F(TcpCountsOf, OurEndIsGivenAtOnce) {
  lose_all(far_);
  ASSERT_EQ(write_some(near_, 10), 10);
  finish(near_);
  EXPECT_EQ(counts().acked, 0U);
  EXPECT_EQ(counts().unacked, 11U);
  EXPECT_EQ(counts().state, State::end_sent);
}

TEST_F(TcpCountsOf, BothEndsAreCountedWhileTheLastAcknowledgementIsMissing) {
  finish(far_);
  wait_for(near_, POLLRDHUP);
  lose_all(far_);
  ASSERT_EQ(write_some(near_, 10), 10);
  finish(near_);  // LAST-ACK
  EXPECT_EQ(counts().state, State::both_ended);
  const auto moved = this->moved({.taken = 0, .given = 10});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 0U);
  EXPECT_EQ(moved->given, 10U);
  // A reset now is told from an end by what was not acknowledged, even after it was reported.
  reset(far_);
  wait_for(near_, State::closed);
  EXPECT_FALSE(this->moved({.taken = 0, .given = 10}));
  ASSERT_EQ(read_some(near_, 1), 0);
  ASSERT_EQ(write_some(near_, 1), -ECONNRESET);
  EXPECT_FALSE(counts().error_pending);
  EXPECT_FALSE(this->moved({.taken = 0, .given = 10}));
}

TEST_F(TcpCountsOf, BothEndsAreCountedWhenBothGoAtOnce) {
  lose_all(far_);
  finish(near_);
  finish(far_);
  wait_for(near_, State::both_ended);  // CLOSING
  const auto moved = this->moved({});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 0U);
  EXPECT_EQ(moved->given, 0U);
}

TEST_F(TcpCountsOf, AConnectionThatHasEndedOutliveIt) {
  ASSERT_EQ(write_some(far_, 10), 10);
  ASSERT_EQ(write_some(near_, 20), 20);
  finish(near_);
  finish(far_);
  wait_for(near_, State::closed);  // TIME-WAIT, for everybody else
  far_.close();
  ASSERT_EQ(read_some(near_, 7), 7);
  const auto moved = this->moved({.taken = 7, .given = 20});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->taken, 7U);
  EXPECT_EQ(moved->given, 20U);
  EXPECT_EQ(read_some(near_, 7), 3);
  EXPECT_EQ(read_some(near_, 7), 0);
}

TEST_F(TcpCountsOf, AResetConnectionStayAsTheyWere) {
  ASSERT_EQ(write_some(far_, 10), 10);
  ASSERT_EQ(write_some(near_, 20), 20);
  wait_for(near_, POLLIN);
  ASSERT_EQ(read_some(near_, 4), 4);
  reset(far_);
  wait_for(near_, POLLHUP);
  for (int i = 0; i < 2; ++i) {  // to ask does not clear the error
    EXPECT_EQ(counts().received, 10U);
    EXPECT_EQ(counts().unread, 6U);
    EXPECT_EQ(counts().acked + counts().unacked, 20U);
    EXPECT_TRUE(counts().error_pending);
  }
  EXPECT_EQ(read_some(near_, 100), 6);
  EXPECT_EQ(read_some(near_, 100), -ECONNRESET);
}

TEST_F(TcpCountsOf, AResetThatAReportedErrorHasHiddenSayThatItWasOne) {
  ASSERT_EQ(write_some(far_, 10), 10);
  wait_for(near_, POLLIN);
  ASSERT_EQ(read_some(near_, 10), 10);
  reset(far_);
  wait_for(near_, POLLHUP);
  ASSERT_EQ(read_some(near_, 1), -ECONNRESET);
  ASSERT_EQ(read_some(near_, 1), 0) << "it looks like an end now";
  EXPECT_FALSE(counts().error_pending);
  EXPECT_FALSE(moved({.taken = 10, .given = 0}));
}

TEST_F(TcpCountsOf, AResetAfterTheirEndSayThatItWasOne) {
  finish(far_);
  wait_for(near_, POLLRDHUP);
  ASSERT_EQ(read_some(near_, 1), 0);
  ASSERT_EQ(write_some(near_, 20), 20);
  wait_for(far_, POLLIN);
  ASSERT_EQ(read_some(far_, 20), 20);  // so that nothing is missing
  reset(far_);
  wait_for(near_, POLLHUP);
  EXPECT_FALSE(moved({.taken = 0, .given = 20}));
  ASSERT_EQ(write_some(near_, 1), -EPIPE);
  EXPECT_FALSE(counts().error_pending);
  EXPECT_FALSE(moved({.taken = 0, .given = 20}));
}

TEST_F(TcpCountsOf, AResetAfterOurEndSayThatItWasOne) {
  finish(near_);
  ASSERT_EQ(write_some(far_, 10), 10);
  wait_for(near_, POLLIN);
  ASSERT_EQ(read_some(near_, 10), 10);
  reset(far_);
  wait_for(near_, POLLHUP);
  EXPECT_FALSE(moved({.taken = 10, .given = 0}));
  ASSERT_EQ(read_some(near_, 1), -ECONNRESET);
  EXPECT_FALSE(counts().error_pending);
  EXPECT_FALSE(moved({.taken = 10, .given = 0}));
}

TEST_F(TcpCountsOf, AConnectionThatTimesOutAreThoseOfAReset) {
  lose_all(far_);
  set(near_, IPPROTO_TCP, TCP_USER_TIMEOUT, 1);
  ASSERT_EQ(write_some(near_, 10), 10);
  wait_for(near_, POLLHUP);
  EXPECT_TRUE(counts().error_pending);
  EXPECT_FALSE(moved({.taken = 0, .given = 10}));
  ASSERT_EQ(read_some(near_, 1), -ETIMEDOUT);
  EXPECT_FALSE(counts().error_pending);
  EXPECT_FALSE(moved({.taken = 0, .given = 10}));
}

TEST_F(TcpCountsOf, AConnectionThatWeHaveResetAreNotBelieved) {
  ASSERT_EQ(write_some(far_, 10), 10);
  ASSERT_EQ(write_some(near_, 20), 20);
  wait_for(near_, POLLIN);
  ASSERT_EQ(read_some(near_, 4), 4);
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  ASSERT_EQ(::connect(near_.get(), &nobody, sizeof nobody), 0);
  EXPECT_FALSE(moved({.taken = 4, .given = 20}));
  read_some(near_, 1);  // which may report an error
  EXPECT_FALSE(moved({.taken = 4, .given = 20}));
  EXPECT_FALSE(moved({}));
}

TEST_F(TcpCountsOf, UrgentBytesAreThoseOfTheOthersOnlyIfTheyAreReadAmongThem) {
  set(near_, SOL_SOCKET, SO_OOBINLINE, 1);
  ASSERT_EQ(write_some(far_, 3), 3);
  ASSERT_EQ(write_some(far_, 1, MSG_OOB), 1);
  ASSERT_EQ(write_some(far_, 4), 4);
  finish(far_);
  wait_for(near_, POLLRDHUP);
  std::int64_t taken = 0;
  while (const std::int64_t count = read_some(near_, 100)) {
    ASSERT_GT(count, 0);
    taken += count;
    EXPECT_EQ(moved({})->taken, static_cast<std::uint64_t>(taken));
  }
  EXPECT_EQ(taken, 8);
}

TEST_F(TcpCountsOf, AConnectionHoldTogetherWhileBytesArriveAndLeave) {
  std::atomic<bool> stop = false;
  std::thread peer([&] {
    for (std::size_t i = 0; !stop; ++i)
      i / 50 % 2 == 0 ? write_some(far_, 1 + i % 100) : read_some(far_, 1000);
  });
  TcpRecorded exact;
  for (int i = 0; i < 10'000; ++i) {
    const auto moved = this->moved(exact);
    EXPECT_TRUE(moved && moved->taken == exact.taken && moved->given == exact.given) << i;
    const std::int64_t taken = read_some(near_, 200), given = write_some(near_, 5000);
    if (taken > 0) exact.taken += static_cast<std::uint64_t>(taken);
    if (given > 0) exact.given += static_cast<std::uint64_t>(given);
  }
  stop = true;
  peer.join();
}

TEST_F(TcpCountsOf, NothingElseExist) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const Descriptor one(pair[0]), other(pair[1]);
  EXPECT_FALSE(tcp_counts(one.get()));
  const Descriptor udp(::socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_FALSE(tcp_counts(udp.get()));
  const Descriptor listening(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  EXPECT_FALSE(tcp_counts(listening.get()));
  EXPECT_FALSE(tcp_counts(STDERR_FILENO));
  EXPECT_FALSE(tcp_counts(-1));
}

// --- random connections

// One connection with random calls on both sides. The near one is that of the process that will be
// gone.
class RandomConnection {
 public:
  // Either the streams end in all ways, or windows and buffers fill up. Then it would depend on
  // them when an end arrives.
  enum class Kind { ends, fills };

  RandomConnection(const LoopbackListener& listener, Kind kind, unsigned seed)
      : kind_(kind), random_(seed) {
    TcpPair pair = connect_tcp(listener);
    if (chance(2)) std::swap(pair.dialled, pair.accepted);
    near_ = std::move(pair.accepted);
    far_ = std::move(pair.dialled);
    set(near_, SOL_SOCKET, SO_OOBINLINE, 1);
    begin();
  }

  void step() {
    if (chance(40)) begin();
    if (chance(2)) {
      step_near();
    } else if (!far_closed_) {
      step_far();
    }
    settle();
  }

  void check() const {
    check({.taken = taken_ - taken_before_, .given = given_ - given_before_});
    // The process may have been killed before it could record its latest call.
    check({.taken = taken_ - taken_before_ - latest_taken_,
           .given = given_ - given_before_ - latest_given_});
  }

  bool lost() const { return lost_; }
  bool ended() const { return near_finished_ && far_finished_ && !lost_; }

 private:
  bool chance(unsigned of) { return random_() % of == 0; }
  bool ends_with_chance(unsigned of) { return kind_ == Kind::ends && chance(of); }
  std::size_t size() { return 1 + random_() % (chance(2) ? 10 : 20'000); }
  // Of a write, when so much is on its way already.
  std::size_t size(std::uint64_t under_way) {
    if (kind_ == Kind::fills) return chance(5) ? 3'000'000 : size();
    constexpr std::size_t kFits = 30'000;
    return std::min(size(), kFits - std::min<std::size_t>(under_way, kFits));
  }

  // A session begins with this connection as it is.
  void begin() {
    if (lost_ || ended()) return;
    baseline_ = baseline_of(tcp_counts(near_.get()).value());
    taken_before_ = taken_;
    given_before_ = given_;
    latest_taken_ = latest_given_ = 0;
  }

  void step_near() {
    latest_taken_ = latest_given_ = 0;
    if (ends_with_chance(20)) {
      finish(near_);
      if (!lost_) near_finished_ = true;
    } else if (chance(2)) {
      const std::int64_t count = read_some(near_, size());
      if (count > 0) taken_ += latest_taken_ = static_cast<std::uint64_t>(count);
      EXPECT_TRUE(lost_ || count != -ECONNRESET);
      EXPECT_TRUE(lost_ || far_finished_ || count != 0);
    } else if (!near_finished_) {
      const std::int64_t count = write_some(near_, size(given_ - far_taken_));
      if (count > 0) {
        given_ += latest_given_ = static_cast<std::uint64_t>(count);
        if (far_closed_) lost_ = true;  // there is nobody to take it
      }
      EXPECT_TRUE(lost_ || (count != -ECONNRESET && count != -EPIPE));
    }
  }

  void step_far() {
    if (ends_with_chance(20)) {
      finish(far_);
      far_finished_ = true;
    } else if (ends_with_chance(40)) {
      // A close that leaves bytes unread is a reset (RFC 2525, section 2.17).
      if (given_ > far_taken_ && !ended()) lost_ = true;
      far_.close();
      far_finished_ = far_closed_ = true;
    } else if (ends_with_chance(40)) {
      if (!ended()) lost_ = true;
      reset(far_);
      far_closed_ = true;
    } else if (chance(2)) {
      const std::int64_t count = read_some(far_, size());
      if (count > 0) far_taken_ += static_cast<std::uint64_t>(count);
    } else if (!far_finished_) {
      const std::int64_t count =
          write_some(far_, size(far_given_ - taken_), chance(10) ? MSG_OOB : 0);
      if (count > 0) far_given_ += static_cast<std::uint64_t>(count);
    }
  }

  // Waits until the near side knows what has happened.
  void settle() const {
    if (lost_) return wait_for(near_, POLLHUP);
    if (ended()) return wait_for(near_, State::closed);
    if (far_finished_) return wait_for(near_, POLLRDHUP);
  }

  void check(const TcpRecorded& recorded) const {
    const auto moved = moved_since(baseline_, tcp_counts(near_.get()).value(), recorded);
    EXPECT_EQ(moved.has_value(), !lost_);
    if (!moved || lost_) return;
    EXPECT_EQ(moved->taken, taken_ - taken_before_);
    EXPECT_EQ(moved->given, given_ - given_before_);
    EXPECT_EQ(moved->end_received, far_finished_);
    EXPECT_EQ(moved->end_given, near_finished_);
  }

  const Kind kind_;
  std::minstd_rand random_;
  Descriptor near_;
  Descriptor far_;
  TcpBaseline baseline_;
  // By the near side: in all, before the baseline, and in the latest call.
  std::uint64_t taken_ = 0, taken_before_ = 0, latest_taken_ = 0;
  std::uint64_t given_ = 0, given_before_ = 0, latest_given_ = 0;
  std::uint64_t far_taken_ = 0, far_given_ = 0;
  bool near_finished_ = false;
  bool far_finished_ = false;
  bool far_closed_ = false;
  bool lost_ = false;
};

struct RandomResults {
  int lost = 0;
  int ended = 0;
};

RandomResults try_connections(RandomConnection::Kind kind, unsigned count) {
  const LoopbackListener listener;
  RandomResults results;
  for (unsigned seed = 1; seed <= count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomConnection connection(listener, kind, seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) {
      connection.step();
      connection.check();
    }
    results.lost += connection.lost() ? 1 : 0;
    results.ended += connection.ended() ? 1 : 0;
    if (testing::Test::HasFailure()) break;
  }
  return results;
}

TEST(RandomConnections, ThatEndInAllWaysAreCountedToTheByte) {
  const RandomResults results = try_connections(RandomConnection::Kind::ends, 500);
  EXPECT_GT(results.lost, 100);
  EXPECT_GT(results.ended, 100);
}

TEST(RandomConnections, WithFullBuffersAreCountedToTheByte) {
  try_connections(RandomConnection::Kind::fills, 50);
}

// --- processes that are killed

// What a process records beside its connection, in memory that outlives it.
struct Records {
  std::atomic<std::uint64_t> taken;
  std::atomic<std::uint64_t> given;
  std::atomic<bool> finishes;
};

// The byte at this offset of either stream.
char byte_at(std::uint64_t offset) {
  return static_cast<char>(offset * 7 + (offset >> 8));
}

class KilledProcess : public testing::TestWithParam<unsigned> {
 protected:
  static constexpr std::size_t kMost = 40'000;

  KilledProcess()
      : random_(GetParam()),
        records_(static_cast<Records*>(::mmap(nullptr, sizeof(Records), PROT_READ | PROT_WRITE,
                                              MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    TcpPair pair = connect_tcp(listener_);
    if (random_() % 2 == 0) std::swap(pair.dialled, pair.accepted);
    near_ = std::move(pair.accepted);
    far_ = std::move(pair.dialled);
  }
  ~KilledProcess() override { ::munmap(records_, sizeof(Records)); }

  // Sends the next bytes of a stream of which `offset` were sent. How many; minus errno.
  static std::int64_t send_next(const Descriptor& socket, std::uint64_t offset, std::size_t most) {
    std::string bytes(most, '\0');
    for (std::size_t i = 0; i < most; ++i)
      bytes[i] = byte_at(offset + i);
    const ssize_t count =
        ::send(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return count < 0 ? -errno : count;
  }

  // Reads what comes next in a stream of which `offset` were read, and checks it.
  static std::int64_t read_next(const Descriptor& socket, std::uint64_t offset, std::size_t most,
                                int flags = MSG_DONTWAIT) {
    std::string bytes(most, '\0');
    const ssize_t count = ::recv(socket.get(), bytes.data(), bytes.size(), flags);
    for (ssize_t i = 0; i < count; ++i) {
      if (bytes[static_cast<std::size_t>(i)] != byte_at(offset + static_cast<std::uint64_t>(i))) {
        ADD_FAILURE() << "byte " << offset + static_cast<std::uint64_t>(i);
        break;
      }
    }
    return count < 0 ? -errno : count;
  }

  // The process: reads and writes as fast as it can, and records each call after it.
  void live(unsigned seed) {
    std::minstd_rand random(seed);
    const std::uint64_t end = random() % 4 == 0 ? random() % 1'000'000 : ~std::uint64_t{0};
    while (true) {
      const std::int64_t taken = read_next(near_, records_->taken, 1 + random() % kMost);
      if (taken > 0) records_->taken += static_cast<std::uint64_t>(taken);
      if (records_->finishes) continue;
      const std::int64_t given = send_next(near_, records_->given, 1 + random() % kMost);
      if (given > 0) records_->given += static_cast<std::uint64_t>(given);
      if (records_->given < end) continue;
      records_->finishes = true;
      finish(near_);
    }
  }

  std::uint64_t read_all(const Descriptor& socket, std::uint64_t offset) {
    while (true) {
      const std::int64_t count = read_next(socket, offset, kMost, 0);
      EXPECT_GE(count, 0);
      if (count <= 0) return offset;
      offset += static_cast<std::uint64_t>(count);
    }
  }

  std::minstd_rand random_;
  Records* const records_;
  LoopbackListener listener_;
  Descriptor near_;
  Descriptor far_;
};

TEST_P(KilledProcess, LeavesCountsThatAreExact) {
  const TcpBaseline baseline = baseline_of(tcp_counts(near_.get()).value());
  ChildProcess child([&](auto&) { live(GetParam()); });
  std::uint64_t far_given = 0, far_taken = 0;
  const std::uint64_t far_end = random_() % 4 == 0 ? random_() % 1'000'000 : ~std::uint64_t{0};
  bool far_finished = false;
  // The application is not killed, and does not stop while the process is.
  for (auto left = 1 + random_() % 400; left > 0; --left) {
    if (!far_finished) {
      const std::int64_t given = send_next(far_, far_given, 1 + random_() % kMost);
      if (given > 0) far_given += static_cast<std::uint64_t>(given);
      if (far_given >= far_end) {
        finish(far_);
        far_finished = true;
      }
    }
    const std::int64_t taken = read_next(far_, far_taken, 1 + random_() % kMost);
    if (taken > 0) far_taken += static_cast<std::uint64_t>(taken);
  }
  child.kill();

  const TcpRecorded recorded{.taken = records_->taken, .given = records_->given};
  const auto moved = moved_since(baseline, tcp_counts(near_.get()).value(), recorded);
  ASSERT_TRUE(moved);
  EXPECT_GE(moved->taken, recorded.taken);
  EXPECT_LE(moved->taken, recorded.taken + kMost);
  EXPECT_GE(moved->given, recorded.given);
  EXPECT_LE(moved->given, recorded.given + kMost);
  EXPECT_TRUE(records_->finishes || !moved->end_given);
  EXPECT_TRUE(far_finished || !moved->end_received);
  // The bytes go on exactly where they stopped, in both directions, to the end.
  finish(near_);
  EXPECT_EQ(read_all(far_, far_taken), moved->given);
  finish(far_);
  EXPECT_EQ(read_all(near_, moved->taken), far_given);
}

INSTANTIATE_TEST_SUITE_P(Kills, KilledProcess, testing::Range(1U, 61U));

}  // namespace
}  // namespace backedpipe::test

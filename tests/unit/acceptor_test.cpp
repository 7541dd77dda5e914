#include "net/accept/acceptor.hpp"

#include <arpa/inet.h>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <netinet/in.h>
#include <poll.h>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gtest/gtest.h>

#include "net/clock.hpp"
#include "proto/frame.hpp"
#include "tests/unit/accept_support.hpp"

namespace backedpipe::test {
namespace {

constexpr std::size_t kMemoryBytes = std::size_t{64} << 20;

// One worker of a daemon. It runs only when a test runs it.
struct Accepting {
  Accepting(SharedState& shared, std::size_t number)
      : context(io, shared, number, kMemoryBytes, {}),
        sessions(context, &shared.directory),
        acceptor(context, sessions) {}

  std::uint16_t port() const { return acceptor.listeners().front()->listener->address().port; }

  boost::asio::io_context io{1};
  WorkerContext context;
  SessionTable sessions;
  Acceptor acceptor;
};

// Two workers, each with its own port, so that the test chooses which one receives a HELLO.
class AcceptorTest : public testing::Test {
 protected:
  AcceptorTest() {
    settings_.limits.spare_links = 1;
    AcceptSettings accept;
    accept.listen.host = "127.0.0.1";
    accept.security = Security::none;
    settings_.accept.push_back(accept);
    settings_.services.push_back({"ssh", {"127.0.0.1", target_.local_endpoint().port(), {}}});
    limit(100);
    for (Accepting* const each : {&first_, &second_}) {
      use(*each);
      each->acceptor.start();
    }
  }

  // As at the end of a daemon: sessions release their memory before it is freed.
  ~AcceptorTest() override {
    for (Accepting* const each : {&first_, &second_}) {
      each->acceptor.stop();
      each->io.restart();
      each->io.poll();
    }
  }

  void use(Accepting& worker) {
    ListeningSockets sockets;
    const auto security = LinkListeners::read_security(settings_);
    worker.acceptor.use(worker.acceptor.plan(settings_, security, sockets));
  }
  void limit(std::size_t max_sessions) {
    shared_.directory.limit(
        {.max_sessions = max_sessions, .max_sessions_per_identity = max_sessions}, 100);
  }
  static FarEnd link_to(const Accepting& worker, const Hello& hello) {
    FarEnd far = connect_to(worker);
    far.say(hello);
    return far;
  }
  bool target_was_dialled() {
    pollfd state{target_.native_handle(), POLLIN, 0};
    return ::poll(&state, 1, 0) == 1;
  }
  static std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  // The target's queue is full: from now on it answers no connection.
  std::vector<boost::asio::ip::tcp::socket> fill_backlog() {
    target_.listen(0);
    std::vector<boost::asio::ip::tcp::socket> sockets;
    const auto target = target_.local_endpoint();
    for (int i = 0; i < 4; ++i) {
      auto& socket = sockets.emplace_back(home_);
      socket.open(boost::asio::ip::tcp::v4());
      socket.native_non_blocking(true);
      // Asio's own function would wait.
      ::connect(socket.native_handle(), target.data(), static_cast<socklen_t>(target.size()));
    }
    return sockets;
  }
  static FarEnd connect_to(const Accepting& worker) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(worker.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    return FarEnd(descriptor);
  }
  // Runs only these workers until the condition holds. False: it did not come to hold.
  template <typename Condition>
  static bool run(const std::vector<Accepting*>& workers, const Condition& condition) {
    const TimePoint give_up_at = steady_now() + std::chrono::seconds(5);
    while (!condition()) {
      if (steady_now() > give_up_at) return false;
      for (Accepting* const worker : workers) {
        worker->io.restart();
        worker->io.poll();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  // The first worker has session 1 and its link.
  FarEnd open_one() {
    FarEnd far = link_to(first_, opening(1));
    EXPECT_TRUE(run({&first_}, [&] { return far.welcomed(); }));
    return far;
  }
  // The second worker has received a HELLO for session 1 and handed the link over. The first worker
  // does not know yet.
  FarEnd hand_over_one() {
    FarEnd far = link_to(second_, resuming(1));
    EXPECT_TRUE(run({&second_}, [&] { return second_.acceptor.links_handed_over() == 1; }));
    EXPECT_FALSE(far.answered());
    return far;
  }

  boost::asio::io_context home_;
  SharedState shared_{home_, kMemoryBytes};
  // The kernel accepts; this object never does.
  boost::asio::ip::tcp::acceptor target_{home_, {boost::asio::ip::address_v4::loopback(), 0}};
  Settings settings_;
  Accepting first_{shared_, 0};
  Accepting second_{shared_, 1};
};

TEST_F(AcceptorTest, ALinkOfASessionOnAnotherWorkerIsHandedOver) {
  FarEnd old = open_one();
  FarEnd far = hand_over_one();
  EXPECT_TRUE(run({&first_}, [&] { return far.welcomed(); }));
  EXPECT_EQ(first_.sessions.find(id_of(1))->session().pipe().generation(), 2U);
  EXPECT_TRUE(second_.sessions.all().empty());
  EXPECT_TRUE(old.at_end());
}

TEST_F(AcceptorTest, ASessionThatEndedWhileItsLinkWasHandedOverIsRefusedWithItsReason) {
  const FarEnd old = open_one();
  FarEnd far = hand_over_one();
  first_.sessions.find(id_of(1))->reset(Reason::closed_by_operator);
  EXPECT_TRUE(run({&first_}, [&] { return far.answered(); }));
  EXPECT_EQ(far.refused(), Reason::closed_by_operator);
  EXPECT_TRUE(first_.sessions.all().empty());
  EXPECT_EQ(first_.acceptor.refusals().total(), 1U);
}

TEST_F(AcceptorTest, AWorkerThatStoppedWhileALinkWasHandedOverIsShuttingDown) {
  const FarEnd old = open_one();
  FarEnd far = hand_over_one();
  first_.acceptor.stop();
  EXPECT_TRUE(run({&first_}, [&] { return far.answered(); }));
  EXPECT_EQ(far.refused(), Reason::shutting_down);
}

TEST_F(AcceptorTest, OfTwoOpeningHellosAtOnceOneOpensAndOneTakesOver) {
  FarEnd one = link_to(first_, opening(1, 1));
  FarEnd other = link_to(second_, opening(1, 2));
  EXPECT_TRUE(run({&first_, &second_}, [&] { return other.welcomed(); }));
  EXPECT_EQ(first_.sessions.all().size() + second_.sessions.all().size(), 1U);
  EXPECT_EQ(first_.sessions.totals().opened + second_.sessions.totals().opened, 1U);
}

TEST_F(AcceptorTest, ASessionWithoutALinkMakesRoomForOneOnAnotherWorker) {
  limit(1);
  open_one().close();
  const auto session = first_.sessions.find(id_of(1));
  ASSERT_TRUE(
      run({&first_}, [&] { return session->session().pipe().state() == PipeState::disconnected; }));
  FarEnd far = link_to(second_, opening(2));
  EXPECT_TRUE(run({&first_, &second_}, [&] { return far.welcomed(); }));
  EXPECT_TRUE(run({&first_}, [&] { return first_.sessions.all().empty(); }));
  EXPECT_EQ(shared_.directory.end_of(id_of(1), ""), Reason::expired);
  EXPECT_EQ(second_.sessions.all().size(), 1U);
}

TEST_F(AcceptorTest, AnOldGenerationIsRefusedAndTheLinkThatThereIsStays) {
  FarEnd far = open_one();
  FarEnd stale = link_to(first_, resuming(1, 1));
  EXPECT_TRUE(run({&first_}, [&] { return stale.answered(); }));
  EXPECT_EQ(stale.refused(), Reason::stale_generation);
  EXPECT_FALSE(far.at_end());
}

TEST_F(AcceptorTest, WhileDrainingASessionIsResumedAndNoneOpened) {
  const FarEnd old = open_one();
  first_.acceptor.drain();
  FarEnd resumed = link_to(first_, resuming(1));
  FarEnd refused = link_to(first_, opening(2));
  EXPECT_TRUE(run({&first_}, [&] { return resumed.welcomed() && refused.answered(); }));
  EXPECT_EQ(refused.refused(), Reason::shutting_down);
}

TEST_F(AcceptorTest, ATargetThatRefusesEndsTheSessionWithThatReason) {
  target_.close();
  const FarEnd far = link_to(first_, opening(1));
  EXPECT_TRUE(run({&first_}, [&] { return first_.sessions.totals().ended == 1; }));
  EXPECT_EQ(shared_.directory.end_of(id_of(1), ""), Reason::target_refused);
}

TEST_F(AcceptorTest, ASessionThatIsResetWithItsHelloDialsNoTarget) {
  std::vector<std::byte> bytes = encode(opening(1));
  std::array<std::byte, kMaxFramePrefixBytes> reset;
  const std::size_t size = encode(
      Frame{FrameType::reset, 0, static_cast<std::uint64_t>(Reason::application_reset)}, 0, reset);
  bytes.insert(bytes.end(), reset.begin(), reset.begin() + static_cast<std::ptrdiff_t>(size));
  FarEnd far = connect_to(first_);
  far.send(bytes.data(), bytes.size());
  EXPECT_TRUE(run({&first_}, [&] { return far.welcomed(); }));
  EXPECT_EQ(first_.sessions.totals().ended, 1U);
  EXPECT_FALSE(target_was_dialled());
}

// The target's system does not answer: without this the dial would hold its descriptor for ten
// seconds more.
TEST_F(AcceptorTest, TheDialOfASessionThatEndsIsBrokenOff) {
  std::vector<boost::asio::ip::tcp::socket> fill = fill_backlog();
  FarEnd far = open_one();
  const std::size_t before = open_descriptors();
  first_.sessions.find(id_of(1))->reset(Reason::closed_by_operator);
  EXPECT_TRUE(run({&first_}, [&] { return first_.sessions.all().empty(); }));
  far.close();
  // The link and the dial; and the far end, which is ours.
  EXPECT_TRUE(run({&first_}, [&] { return open_descriptors() == before - 3; }));
}

TEST_F(AcceptorTest, AReloadKeepsAListenerThatStays) {
  const std::uint16_t port = first_.port();
  use(first_);
  EXPECT_EQ(first_.port(), port);
  const FarEnd far = open_one();
  EXPECT_EQ(first_.acceptor.listeners().front()->handshake_count, 0U);
}

}  // namespace
}  // namespace backedpipe::test

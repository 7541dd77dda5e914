#include "net/dial/dialler.hpp"

#include <memory>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "net/application/dialled_paths.hpp"
#include "net/session/session_table.hpp"
#include "net/thread/worker_context.hpp"
#include "tests/unit/dial_support.hpp"

namespace backedpipe::test {
namespace {

constexpr std::size_t kMemoryBytes = std::size_t{16} << 20;

// One worker with the table, dialler and tunnels of a daemon; nothing runs unless the test runs it.
class DialledSessions : public testing::Test {
 protected:
  void SetUp() override {
    settings_.peers.push_back({.name = "office",
                               .endpoints = {{.host = "127.0.0.1", .port = 1}},
                               .security = Security::none,
                               .key_file = {}});
    settings_.limits.max_sessions = 1;
    use_settings();
  }
  void use_settings() {
    ListeningSockets none;
    dialler_.use(dialler_.plan(settings_, Dialler::read_security(settings_)));
    tunnels_.use(tunnels_.plan(settings_, none));
  }
  std::shared_ptr<SessionDriver> open(LinkPair& application) {
    const TunnelSettings tunnel{.name = "ssh", .listen = {}, .peer = "office", .service = "ssh"};
    return tunnels_.open(tunnel, application.take_near());
  }
  SharedGate::View gate() { return dialler_.peer("office").gate->view(); }

  boost::asio::io_context io_;
  SharedState shared_{io_, kMemoryBytes};
  WorkerContext worker_{io_, shared_, 0, kMemoryBytes, SessionOptions()};
  SessionTable sessions_{worker_, nullptr};
  Dialler dialler_{worker_, sessions_};
  TunnelListener tunnels_{worker_, sessions_, paths_of(dialler_)};
  LinkPair application_{io_};
  Settings settings_;
};

TEST_F(DialledSessions, AnApplicationGetsASessionThatAsksForALink) {
  const auto session = open(application_);
  ASSERT_TRUE(session);
  EXPECT_EQ(sessions_.find(session->session().id()), session);
  EXPECT_EQ(session->labels().peer, "office");
  EXPECT_EQ(gate().dialling, 1U);
}

TEST_F(DialledSessions, TheAttemptOfASessionThatEndsIsGivenUp) {
  const auto session = open(application_);
  ASSERT_EQ(gate().dialling, 1U);
  session->refused(1, {.reason = Reason::unknown_service, .text = {}});
  EXPECT_TRUE(sessions_.all().empty());
  EXPECT_EQ(gate().dialling, 0U);
  EXPECT_EQ(sessions_.totals().ended, 1U);
}

TEST_F(DialledSessions, APeerThatIsNotInTheSettingsGoesWithItsLastSession) {
  const auto session = open(application_);
  settings_.peers.clear();
  use_settings();
  ASSERT_EQ(dialler_.peers().size(), 1U);
  session->refused(1, {.reason = Reason::unknown_service, .text = {}});
  io_.poll();
  EXPECT_TRUE(dialler_.peers().empty());
}

TEST_F(DialledSessions, BeyondTheLimitTheConnectionIsReset) {
  const auto session = open(application_);
  ASSERT_TRUE(session);
  LinkPair another(io_);
  EXPECT_FALSE(open(another));
  EXPECT_EQ(sessions_.all().size(), 1U);
  EXPECT_EQ(shared_.client_sessions, 1U);
  session->refused(1, {.reason = Reason::unknown_service, .text = {}});
  EXPECT_EQ(shared_.client_sessions, 0U) << "there is room again";
  LinkPair third(io_);
  EXPECT_TRUE(open(third));
}

TEST_F(DialledSessions, LinksThatAreLeftAreKeptOnlyWhileNewSessionsAreToCome) {
  const auto session = open(application_);
  const auto made_link = [this] {
    LinkPair pair(io_);
    return dialler_.peer("office").factory->wrap(pair.take_near());
  };
  const auto spares = [this] { return dialler_.peer("office").gate->spares().size(); };
  dialler_.released(made_link(), *session);
  EXPECT_EQ(spares(), 0U);
  dialler_.start();
  dialler_.released(made_link(), *session);
  EXPECT_EQ(spares(), 1U);
  dialler_.drain();
  EXPECT_EQ(spares(), 0U);
}

}  // namespace
}  // namespace backedpipe::test

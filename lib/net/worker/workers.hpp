// Workers: the workers of a daemon, each with its thread, its own sessions and its side of every
// tunnel and listener. Made, started and stopped by the thread that directs the daemon. That thread
// can run a function on all of them and waits for the results; the workers never wait for it or for
// each other.
#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "net/accept/acceptor.hpp"
#include "net/application/dialled_paths.hpp"
#include "net/application/tunnel_listener.hpp"
#include "net/dial/dialler.hpp"
#include "net/keep/continuity.hpp"
#include "net/session/session_table.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

struct Worker {
  Worker(SharedState& shared, std::size_t number, std::size_t arena_bytes,
         const SessionOptions& options, WorkerLedger* ledger)
      : context(io, shared, number, arena_bytes, options, ledger),
        dialled(context, nullptr),
        dialler(context, dialled),
        tunnels(context, dialled, paths_of(dialler)),
        accepted(context, &shared.directory),
        acceptor(context, accepted) {}

  // Run by the worker's own thread.
  boost::asio::io_context io{1};
  WorkerContext context;
  SessionTable dialled;  // the sessions whose links it dials
  Dialler dialler;
  TunnelListener tunnels;
  SessionTable accepted;  // the sessions whose links the peer dials
  Acceptor acceptor;
};

class Workers {
 public:
  // At least one. `memory_bytes` is what all of them together may use. `continuity`: where the
  // sessions are recorded for the next process; may be null. It must outlive the workers.
  Workers(SharedState& shared, std::size_t count, std::size_t memory_bytes,
          const SessionOptions& options, Continuity* continuity);
  ~Workers();

  // The address space that each worker's arena takes.
  static std::size_t arena_bytes(std::size_t count, std::size_t memory_bytes);

  void start();
  // Waits for the threads to end. What is under way is dropped.
  void stop();

  std::size_t size() const { return workers_.size(); }
  // Safe while the threads do not run, or for functions that any thread may call.
  const std::vector<std::unique_ptr<Worker>>& all() const { return workers_; }

  // Calls `all_are` when every thread has answered, on the last one to do so. Does not wait,
  // because it serves to notice a thread that does not answer.
  void ask(const std::function<void()>& all_are);

  // Calls `what(worker)` on all threads at the same time, waits for all of them, and returns the
  // results in order. Rethrows an exception of `what`.
  template <typename What>
  auto gather(const What& what) {
    using Result = std::invoke_result_t<const What&, Worker&>;
    std::vector<std::future<Result>> pending;
    pending.reserve(workers_.size());
    for (const auto& worker : workers_) {
      auto task = std::packaged_task<Result()>([&what, &worker] { return what(*worker); });
      pending.push_back(task.get_future());
      if (running()) {
        boost::asio::post(worker->io, std::move(task));
      } else {
        task();
      }
    }
    // Wait for all of them before get() may throw: they use this stack frame.
    for (const auto& one : pending)
      one.wait();
    if constexpr (std::is_void_v<Result>) {
      for (auto& one : pending)
        one.get();
    } else {
      std::vector<Result> results;
      results.reserve(pending.size());
      for (auto& one : pending)
        results.push_back(one.get());
      return results;
    }
  }

 private:
  bool running() const { return !threads_.empty(); }

  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::vector<std::thread> threads_;
};

}  // namespace backedpipe

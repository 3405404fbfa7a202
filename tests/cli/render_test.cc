// SPDX-License-Identifier: Apache-2.0
#include "cli/render.hh"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/table.hh"
#include "daemon/fake_service.hh"

namespace sidecore::cli {
namespace {

using test::FakeService;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Table, AlignsItsColumns) {
    Table table({{"NAME"}, {"N", Table::Align::right}, {"LAST"}});
    table.add({"a", "1", "x"});
    table.add({"longer", "100", ""});
    EXPECT_EQ(table.text(),
              "NAME      N  LAST\n"
              "a         1  x\n"
              "longer  100\n");
}

TEST(Table, KeepsTheTerminalSafe) {
    Table table({{"NAME"}});
    table.add({"a\x1b[2J\nb\x7f\xc3\xa4"});
    EXPECT_EQ(table.text(), "NAME\na?[2J?b?\xc3\xa4\n");
}

TEST(Render, ListsDevices) {
    EXPECT_EQ(render_devices({FakeService::make_device("disk0", 2)}),
              "NAME   TYPE  STATE     SIZE  QUEUES  POLLED  WORKERS  POLICY  SOCKET                    BACK-END\n"
              "disk0  blk   running  10GiB       2       1  io0      rate    /run/sidecore/disk0.sock  "
              "/srv/disk0.img, io_uring, direct\n");
    EXPECT_EQ(render_devices({}), "NAME  TYPE  STATE  SIZE  QUEUES  POLLED  WORKERS  POLICY  SOCKET  BACK-END\n");
}

TEST(Render, ShowsADevice) {
    control::DeviceInfo device = FakeService::make_device("disk0", 3);
    device.last_error = "it sent nonsense";
    device.queues[1].settings.put(control::Setting::kind, "always", control::Level::queue);
    device.queues[2].attached = false;
    device.queues[2].size = 0;
    const std::string text = render_device(device);
    EXPECT_THAT(text, StartsWith("name        disk0\n"
                                 "type        blk\n"
                                 "vm          web1\n"
                                 "state       running\n"
                                 "socket      /run/sidecore/disk0.sock (listen), 1 session so far\n"
                                 "last error  it sent nonsense\n"
                                 "storage     /srv/disk0.img, io_uring, direct\n"
                                 "size        10737418240 bytes (10GiB)\n"
                                 "read-only   no\n"
                                 "serial      disk0\n"
                                 "features    0x130000000\n"
                                 "\n"
                                 "SETTING            DEVICE               QUEUE 1\n"
                                 "policy             rate (daemon)        always (queue)\n"
                                 "prefer             balanced (built-in)  balanced (built-in)\n"));
    EXPECT_THAT(text, HasSubstr("\npoll_stop_idle     500ms (device)       500ms (device)\n"));
    EXPECT_THAT(text, EndsWith("\n"
                               "QUEUE  RING  WORKER  MODE      SINCE  STATE        REQUESTS\n"
                               "    0   256  io0     polled    3.2 s  listed           1010\n"
                               "    1   256  io0     notified  3.2 s  armed            1010\n"
                               "    2     0  io0     -             -  not started      1010\n"));
}

TEST(Render, ShowsLimitsAndWhatTheyHeldBack) {
    control::DeviceInfo device = FakeService::make_device("net0", 1);
    device.type = "net";
    device.disk.reset();
    device.net = control::NetInfo{.mac = "52:54:00:12:34:56",
                                  .network_kind = "null",
                                  .network_description = "null",
                                  .limits = {.transmit_rate_bits = 1'500'000'000,
                                             .receive_rate_bits = 2'000'000'000,
                                             .transmit_packets = 50'000,
                                             .burst_ns = 5'000'000},
                                  .transmitted = {{"packets", 12}, {"throttled", 1}, {"throttled_ns", 3'200'000}},
                                  .received = {{"packets", 1}, {"throttled", 0}, {"throttled_ns", 0}}};
    const std::string text = render_device(device);
    EXPECT_THAT(text, HasSubstr("\nlimits      sends 1500Mbit/s, 50000 packets/s; receives 2Gbit/s; burst 5ms\n"
                                "sent        12 packets, 0, held back 1 time for 3.2 ms\n"
                                "received    1 packet, 0\n"));
    device.net->limits = {.receive_packets = 7};
    EXPECT_THAT(render_device(device), HasSubstr("\nlimits      receives 7 packets/s\n"));
    device.net->limits = {};
    EXPECT_THAT(render_device(device), Not(HasSubstr("limits")));
}

TEST(Render, NamesTheStateOfAQueue) {
    control::DeviceInfo device = FakeService::make_device("disk0", 1);
    control::QueueInfo& queue = device.queues[0];
    queue.broken = true;
    EXPECT_THAT(render_device(device), HasSubstr("  broken  "));
    queue.broken = false;
    queue.held = true;
    EXPECT_THAT(render_device(device), HasSubstr("  held  "));
    queue.held = false;
    queue.listed = false;
    EXPECT_THAT(render_device(device), HasSubstr("  draining  "));
    queue.attached = false;
    EXPECT_THAT(render_device(device), HasSubstr("  disabled  "));
}

TEST(Render, ShowsReasons) {
    FakeService service;
    EXPECT_EQ(render_explanation(service.explain({"disk0"}).value()),
              "disk0, queue 0:\n  It is as it is.\n  It was as it was.\n"
              "\ndisk0, queue 1:\n  It is as it is.\n  It was as it was.\n");
}

TEST(Render, ShowsCounters) {
    const std::string text = render_counters(FakeService::make_device("disk0", 2));
    EXPECT_THAT(text, HasSubstr("COUNTER          QUEUE 0   QUEUE 1\n"));
    EXPECT_THAT(text, HasSubstr("completions         1010      1011\n"));
}

TEST(Render, ShowsDaemonAndWorkers) {
    FakeService service;
    EXPECT_THAT(render_daemon(service.daemon()), StartsWith("sidecored 0.1.0, process 4711, up for 62.1 min\n\n"
                                                            "SETTING            VALUE\n"
                                                            "policy             rate (daemon)\n"));
    EXPECT_THAT(render_daemon(service.daemon()), HasSubstr("\n\nSETTING OF WORKERS  VALUE\n"
                                                           "poll_budget         100 (built-in)\n"));
    EXPECT_THAT(render_daemon(service.daemon()),
                EndsWith("\n\n"
                         "COST      NS  QUARTER BELOW  QUARTER ABOVE  HOW\n"
                         "check    1.5            1.2            1.8  one load\n"
                         "kick   600.0          550.0          700.0  an eventfd write\n"
                         "\n"
                         "A worker's sleep and its wake-up cost 32.4 us with prefer = latency, 5.44 us with prefer = "
                         "balanced, 2.44 us with prefer = cpu.\n"));
    EXPECT_THAT(render_worker(service.workers().at(0)), HasSubstr("disk0    lan\n\nSETTING OF WORKERS  VALUE\n"));
    EXPECT_EQ(render_workers(service.workers()),
              "NAME  CPU  THREAD  QUEUES  POLLED  CPU TIME  DEVICES  SWITCHES\n"
              "io0     3    4712       2       1     1.5 s  disk0    lan\n");
}

TEST(Render, ShowsTotals) {
    FakeService service;
    const control::Statistics statistics = service.statistics(std::nullopt).value();
    EXPECT_EQ(render_totals(statistics, By::queue),
              "DEVICE  QUEUE  MODE      REQUESTS    BYTES  KICKS  KICKS SAVED  EMPTY POLLS  HOLDS  TO POLLED  "
              "TO NOTIFIED\n"
              "disk0       0  polled        1010  4136960     10          950            0      0          0  "
              "          0\n"
              "disk0       1  notified      1010  4136960     10          900            0      0          0  "
              "          0\n"
              "\n"
              "DEVICE  QUEUE  TIME      50 %   90 %   99 %  99.9 %    MAX\n"
              "disk0       0  waiting   1 us   1 us   2 us    2 us   2 us\n"
              "disk0       0  service  10 us  10 us  10 us   50 us  50 us\n"
              "disk0       1  waiting   1 us   1 us   2 us    2 us   2 us\n"
              "disk0       1  service  10 us  10 us  10 us   50 us  50 us\n"
              "\n"
              "WORKER  CPU  QUEUES  POLLED  CPU TIME  PASSES  SLEEPS\n"
              "io0       3       2       1     1.5 s    1000      10\n");
}

TEST(Render, ShowsRatesPerSecond) {
    FakeService service;
    const control::Statistics before = service.statistics(std::nullopt).value();
    control::Statistics after = service.statistics(std::nullopt).value();
    after.time_ns = before.time_ns + 2'000'000'000;
    control::QueueInfo& queue = after.devices[0].queues[0];
    queue.counters = {{"poll_requests", 3000}, {"notif_requests", 10}, {"poll_bytes", 4'096'000 + (8U << 20U)},
                      {"notif_bytes", 40'960}, {"kicks", 30},          {"poll_kicks", 950},
                      {"poll_empty", 400},     {"to_polled", 1}};
    queue.wait_times = {{{1'000, 90}, {2'000, 10}, {3'000, 8}}};
    after.workers[0].cpu_time_ns += 1'000'000'000;
    after.workers[0].counters = {{"loops", 3000}, {"switches", 12}};
    EXPECT_EQ(render_rates(before, after, By::queue),
              "DEVICE  QUEUE  MODE      REQUESTS/S  MIB/S  KICKS/S  KICKS SAVED/S  EMPTY POLLS/S  MODE CHANGES/S\n"
              "disk0       0  polled          1000    4.0       10              0            200             0.5\n"
              "disk0       1  notified           0    0.0        0              0              0             0.0\n"
              "\n"
              "DEVICE  QUEUE  TIME     50 %  90 %  99 %  99.9 %   MAX\n"
              "disk0       0  waiting  3 us  3 us  3 us    3 us  3 us\n"
              "\n"
              "WORKER  CPU  QUEUES  POLLED  CPU USED  PASSES/S  SLEEPS/S\n"
              "io0       3       2       1    50.0 %      1000         1\n");
}

TEST(Render, ShowsTotalsByVirtualMachine) {
    control::Statistics statistics = FakeService().statistics(std::nullopt).value();
    statistics.devices.push_back(FakeService::make_device("disk1", 1));
    statistics.devices.push_back(FakeService::make_device("disk2", 3));
    statistics.devices[1].vm = "";
    EXPECT_THAT(
        render_totals(statistics, By::vm),
        StartsWith("VM          QUEUES  REQUESTS     BYTES  KICKS  CALLS     CPU  SERVING  POLLING  WAKING  "
                   "WAIT 50 %  99 %  SERVICE 50 %   99 %\n"
                   "web1             5      5050  20684800     50    200  300 ms   150 ms   100 ms   50 ms       "
                   "1 us  2 us         10 us  10 us\n"
                   "-                1      1010   4136960     10     40   60 ms    30 ms    20 ms   10 ms       "
                   "1 us  2 us         10 us  10 us\n"
                   "(no queue)                 0         0      0      0    5 ms     0 ns     0 ns    0 ns          "
                   "-     -             -      -\n"
                   "(all)            6      6060  24821760     60    240  365 ms   180 ms   120 ms   60 ms       "
                   "1 us  2 us         10 us  10 us\n"
                   "\nWORKER "));
    EXPECT_THAT(render_totals(statistics, By::device), HasSubstr("\ndisk2            3      3030 "));
}

TEST(Render, ShowsRatesByDeviceBusiestFirst) {
    FakeService service;
    control::Statistics before = service.statistics(std::nullopt).value();
    before.devices.push_back(FakeService::make_device("disk1", 1));
    control::Statistics after = before;
    after.time_ns += 2'000'000'000;
    const auto advance = [](control::QueueInfo& queue, std::string_view name, std::uint64_t by) {
        for (auto& [counter, value] : queue.counters) {
            value += counter == name ? by : 0;
        }
    };
    advance(after.devices[0].queues[1], "cpu_serving_ns", 200'000'000);
    advance(after.devices[1].queues[0], "cpu_polling_ns", 1'000'000'000);
    advance(after.devices[1].queues[0], "poll_requests", 5'000);
    for (auto& [counter, value] : after.workers[0].counters) {
        value += counter == "cpu_other_ns" ? 100'000'000 : 0;
    }
    EXPECT_THAT(
        render_rates(before, after, By::device),
        StartsWith("DEVICE      QUEUES  REQUESTS/S  MIB/S  KICKS/S  CALLS/S     CPU  SERVING  POLLING  WAKING  "
                   "WAIT 50 %  99 %  SERVICE 50 %  99 %\n"
                   "disk1            1        2500    0.0        0        0  50.0 %    0.0 %   50.0 %   0.0 %          "
                   "-     -             -     -\n"
                   "disk0            2           0    0.0        0        0  10.0 %   10.0 %    0.0 %   0.0 %          "
                   "-     -             -     -\n"
                   "(no queue)                   0    0.0        0        0   5.0 %    0.0 %    0.0 %   0.0 %          "
                   "-     -             -     -\n"
                   "(all)            3        2500    0.0        0        0  65.0 %   10.0 %   50.0 %   0.0 %          "
                   "-     -             -     -\n"));
}

TEST(Render, RatesOfWhatIsNewCountFromZero) {
    FakeService service;
    control::Statistics before = service.statistics(std::nullopt).value();
    control::Statistics after = before;
    after.time_ns += 1'000'000'000;
    before.devices.clear();
    before.workers.clear();
    EXPECT_THAT(render_rates(before, after, By::queue), HasSubstr("disk0       0  polled          1010  "));
    // A device that was removed and added again has counters that are lower than before.
    before = after;
    after.time_ns += 1'000'000'000;
    after.devices[0].queues[0].counters = {{"poll_requests", 7}};
    EXPECT_THAT(render_rates(before, after, By::queue), HasSubstr("disk0       0  polled             7  "));
    before.time_ns = after.time_ns;
    EXPECT_THAT(render_rates(before, after, By::queue), Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace sidecore::cli

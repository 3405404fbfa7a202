// SPDX-License-Identifier: Apache-2.0
// Many threads send while ports come and go.
#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "network/switch_tools.hh"

namespace sidecore::network::test {
namespace {

constexpr std::size_t frame_bytes = 200;

Bytes stamped_frame(const Mac& to, const Mac& from, std::uint32_t number) {
    Bytes frame(frame_bytes, static_cast<std::byte>(number));
    for (std::size_t i = 0; i < 6; ++i) {
        set_number(frame, i, 1, to[i]);
        set_number(frame, 6 + i, 1, from[i]);
    }
    set_number(frame, 12, 2, 0x88b5);
    set_number(frame, 14, 4, number);
    return frame;
}

bool is_whole(const Bytes& frame) {
    const std::uint32_t number = number_at(frame, 14, 4);
    return frame.size() == frame_bytes && std::all_of(frame.begin() + 18, frame.end(), [&](std::byte byte) {
               return byte == static_cast<std::byte>(number);
           });
}

/// A guest with a thread that sends and receives.
class BusyGuest {
public:
    /// How many there are, are there, and have sent all: it begins when all are there, and receives until all are done.
    struct Progress {
        std::uint32_t guests = 0;
        std::atomic<std::uint32_t> ready{0};
        std::atomic<std::uint32_t> done{0};
    };

    BusyGuest(Switch& learning_switch, std::uint32_t number, Progress& progress, std::uint32_t stations,
              std::uint32_t frames)
        : guest_(learning_switch, {.name = "busy" + std::to_string(number)}),
          number_(number),
          progress_(progress),
          thread_([this, stations, frames] { run(stations, frames); }) {}
    ~BusyGuest() { thread_.join(); }
    BusyGuest(const BusyGuest&) = delete;
    BusyGuest& operator=(const BusyGuest&) = delete;

    bool failed() const { return failed_; }
    std::uint64_t received() const { return received_; }

private:
    void run(std::uint32_t stations, std::uint32_t frames) {
        Random random(number_);
        for (++progress_.ready; progress_.ready < progress_.guests;) {
            std::this_thread::yield();
        }
        for (std::uint32_t i = 0; i < frames; ++i) {
            const auto to = static_cast<std::uint32_t>(random() % (stations + 1));
            guest_.send(stamped_frame(to == stations ? everybody : station(to), station(number_), i), {}, 0, 1);
            receive();
        }
        ++progress_.done;
        while (progress_.done < progress_.guests) {
            receive();
        }
        receive();
    }

    void receive() {
        for (Bytes frame = guest_.receive(); !frame.empty(); frame = guest_.receive()) {
            const std::uint32_t from = number_at(frame, 8, 4);
            const std::uint32_t number = number_at(frame, 14, 4);
            auto& next = next_[from];
            failed_ = failed_ || !is_whole(frame) || from == number_ || number < next;
            next = number + 1;
            ++received_;
        }
    }

    Guest guest_;
    const std::uint32_t number_;
    Progress& progress_;
    std::map<std::uint32_t, std::uint32_t> next_;
    std::atomic<bool> failed_{false};
    std::atomic<std::uint64_t> received_{0};
    std::thread thread_;
};

TEST(SwitchRace, PortsComeAndGoWhileOthersSend) {
    const auto learning_switch = must(Switch::create({.table = {.entries = 64}}));
    constexpr std::uint32_t guests = 3;
    BusyGuest::Progress progress{.guests = guests};
    std::vector<std::unique_ptr<BusyGuest>> busy;
    for (std::uint32_t i = 0; i < guests; ++i) {
        busy.push_back(std::make_unique<BusyGuest>(*learning_switch, i, progress, guests + 2, 4000));
    }
    const auto working = [&] { return progress.done < guests; };
    std::uint32_t rounds = 0;
    do {
        // Passers-by have the stations that the busy ones look for, and a pair or two.
        for (const std::uint32_t number : {guests, guests + 1}) {
            Guest passer_by(*learning_switch, {.name = "passer-by",
                                               .pairs = static_cast<std::uint16_t>(1 + rounds % 2),
                                               .inbox_bytes = PacketRing::bytes_min});
            ASSERT_TRUE(passer_by.backend().set_pairs(static_cast<std::uint16_t>(1 + rounds % 2)).has_value());
            passer_by.send(stamped_frame(everybody, station(number), rounds));
            ASSERT_TRUE(passer_by.backend().accept(rounds % 2 == 0 ? all_offloads : Offloads{}).has_value());
            while (passer_by.receive().empty() && working()) {
            }
            learning_switch->table();
            learning_switch->ports();
        }
        ++rounds;
    } while (working());
    EXPECT_GT(rounds, 0U);
    for (const auto& one : busy) {
        EXPECT_FALSE(one->failed()) << "a frame was torn, came twice, out of order, or to its sender";
        EXPECT_GT(one->received(), 0U);
    }
    busy.clear();
    EXPECT_TRUE(learning_switch->ports().empty());
    EXPECT_TRUE(learning_switch->table().empty());
}

/// One sink and two senders: its own thread's frames go straight in, another's through the inbox, and each sender's stay in order.
TEST(SwitchRace, DirectAndByInboxAtOnce) {
    class CountingSink final : public PacketSink {
    public:
        explicit CountingSink(std::vector<Bytes>& frames) : frames_(frames) {}
        bool deliver(const Packet& packet) noexcept override {
            frames_.push_back(bytes_of(packet));
            return true;
        }
        void flush() noexcept override {}

    private:
        std::vector<Bytes>& frames_;
    };
    const auto learning_switch = must(Switch::create());
    Guest near(*learning_switch, {.name = "near"});
    Guest far(*learning_switch, {.name = "far"});
    Guest to(*learning_switch, {.name = "to", .inbox_bytes = std::size_t{16} << 20U});
    to.send(plain_frame(everybody, station(9)));
    constexpr std::uint32_t frames = 5000;
    std::vector<Bytes> received;
    CountingSink sink(received);
    to.receiver().set_sink(&sink);
    std::atomic<bool> far_done{false};
    std::thread other([&] {
        for (std::uint32_t i = 0; i < frames; ++i) {
            far.send(stamped_frame(station(9), station(2), i), {}, 0, 1);
        }
        far_done = true;
    });
    std::uint32_t sent = 0;
    for (bool last = false; !last;) {
        last = far_done && sent == frames;
        if (sent < frames) {
            near.send(stamped_frame(station(9), station(1), sent++), {}, 0, 1);
        }
        if (sent % 3 == 0 || sent == frames) {
            for (Bytes frame = to.receive(); !frame.empty(); frame = to.receive()) {
                received.push_back(frame);
            }
        }
    }
    other.join();
    to.receiver().set_sink(nullptr);
    std::map<std::uint32_t, std::uint32_t> next;
    for (const Bytes& frame : received) {
        ASSERT_TRUE(is_whole(frame));
        EXPECT_EQ(number_at(frame, 14, 4), next[number_at(frame, 8, 4)]++);
    }
    EXPECT_EQ(next, (std::map<std::uint32_t, std::uint32_t>{{1, frames}, {2, frames}}));
}

/// What a sleeping receiver is woken up for is there, whoever has sent it.
TEST(SwitchRace, AReceiverIsWokenUp) {
    const auto learning_switch = must(Switch::create());
    Guest from(*learning_switch, {.name = "from"});
    Guest to(*learning_switch, {.name = "to", .inbox_bytes = std::size_t{4} << 20U});
    constexpr std::uint32_t frames = 2000;
    std::thread sender([&] {
        for (std::uint32_t i = 0; i < frames; ++i) {
            from.send(stamped_frame(everybody, station(1), i), {}, 0, 1);
        }
    });
    EdgeWatch watch(to.receiver().packet_fd());
    std::uint32_t received = 0;
    bool slept_on = false;
    while (received < frames && !slept_on) {
        if (!to.receive().empty()) {
            ++received;
        } else if (to.receiver().arm()) {
            slept_on = !watch.signalled();
        }
    }
    sender.join();
    EXPECT_EQ(received, frames);
}

}  // namespace
}  // namespace sidecore::network::test

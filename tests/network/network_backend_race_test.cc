// SPDX-License-Identifier: Apache-2.0
// What every network back-end promises to those who sleep, with a far end that does not wait for them.
#include <atomic>
#include <optional>
#include <thread>

#include "network/network_backend_test.hh"

namespace sidecore::network::test {
namespace {

TEST_P(NetworkBackendTest, NoWakeUpIsLostWithARacingFarEnd) {
    constexpr std::uint32_t packets = 3000;
    std::vector<Bytes> contents;
    for (int i = 0; i < 61; ++i) {
        contents.push_back(make_packet(random_, length(1000)));
    }
    std::atomic<std::uint32_t> received{0};
    std::thread far([&] {
        for (std::uint32_t number = 0; number < packets; ++number) {
            // A host's interface drops what nobody takes.
            while (number > received.load() + 100) {
                std::this_thread::yield();
            }
            link_.far->put(contents[number % contents.size()]);
        }
    });
    EdgeWatch watch(receiver_->packet_fd());
    std::uint32_t wrong = 0;
    while (received < packets && !HasFailure()) {
        wrong += wait_and_receive(watch) != contents[received % contents.size()] ? 1U : 0U;
        ++received;
    }
    received = packets;  // lets the other one end in any case
    far.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(receive().empty());
}

TEST_P(NetworkBackendTest, NoRoomIsOverlookedWithARacingFarEnd) {
    constexpr std::uint32_t packets = 3000;
    std::vector<Bytes> contents;
    for (int i = 0; i < 61; ++i) {
        contents.push_back(make_packet(random_, length(5000)));
    }
    std::atomic<std::uint32_t> sent{0};
    std::uint32_t wrong = 0;
    std::thread far([&] {
        for (std::uint32_t number = 0; number < packets; ++number) {
            const Bytes packet = link_.far->take();
            wrong += packet != contents[number % contents.size()] ? 1U : 0U;
            if (packet.empty()) {
                return;
            }
        }
    });
    const int fd = sender_->room_fd();
    ASSERT_TRUE(fd >= 0 || !GetParam().fills_up);
    std::optional<EdgeWatch> watch;
    if (fd >= 0) {
        watch.emplace(fd);
    }
    while (sent < packets && !HasFailure()) {
        if (send(contents[sent % contents.size()], 1 + sent % 3)) {
            ++sent;
        } else if (sender_->arm()) {
            EXPECT_TRUE(watch && watch->signalled()) << "slept on";
        }
    }
    far.join();
    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(sender_->dropped(), 0U);
}

TEST_P(NetworkBackendTest, BothHalvesWorkAtTheSameTime) {
    constexpr std::uint32_t packets = 2000;
    if (GetParam().name == "loopback") {
        // Its far end is itself, with a single consumer: what is sent is what is received.
        std::thread sending([&] {
            for (std::uint32_t number = 0; number < packets; ++number) {
                while (!send(Bytes(100, static_cast<std::byte>(number)))) {
                    std::this_thread::yield();
                }
            }
        });
        const Room room;
        for (std::uint32_t number = 0; number < packets;) {
            const std::uint32_t bytes = receiver_->receive(info_, room.pieces());
            if (bytes != 0) {
                ASSERT_EQ(room.first(bytes), Bytes(100, static_cast<std::byte>(number)));
                ++number;
            }
        }
        sending.join();
        return;
    }
    const Bytes one = make_packet(random_, 1000);
    std::atomic<std::uint32_t> received{0};
    std::atomic<bool> stopped{false};
    std::thread sending([&] {
        for (std::uint32_t number = 0; number < packets && !stopped;) {
            number += send(one) ? 1U : 0U;
        }
    });
    std::thread far_taking([&] {
        for (std::uint32_t number = 0; number < packets && !stopped; ++number) {
            if (link_.far->take() != one) {
                ADD_FAILURE() << "packet " << number;
                stopped = true;
            }
        }
    });
    std::thread far_putting([&] {
        for (std::uint32_t number = 0; number < packets && !stopped; ++number) {
            while (number > received.load() + 100 && !stopped) {
                std::this_thread::yield();
            }
            link_.far->put(one);
        }
    });
    EdgeWatch watch(receiver_->packet_fd());
    while (received < packets && !HasFailure()) {
        EXPECT_EQ(wait_and_receive(watch), one);
        ++received;
    }
    if (HasFailure()) {
        stopped = true;
    }
    far_putting.join();
    sending.join();
    far_taking.join();
}

}  // namespace
}  // namespace sidecore::network::test

// SPDX-License-Identifier: Apache-2.0
#include "cli/requests.hh"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/device_spec.hh"
#include "control/settings.hh"

namespace sidecore::cli {
namespace {

using ::testing::HasSubstr;

std::string settings_of(const std::vector<std::string>& words, WordsFor whose = WordsFor::queues) {
    const auto settings = settings_from_words(words, whose);
    return settings ? control::to_text(*settings) : settings.error().message;
}

TEST(SettingsFromWords, TranslatesEachType) {
    EXPECT_EQ(settings_of({"policy=rate", "poll_start_rate=8", "poll_stop_idle=3s"}),
              R"({"policy":{"kind":"rate","poll_start_rate":8,"poll_stop_idle":"3s"}})");
    EXPECT_EQ(settings_of({"policy=inherit", "poll_start_rate=inherit"}),
              R"({"policy":{"kind":null,"poll_start_rate":null}})");
    EXPECT_EQ(settings_of({"policy=a=b"}), R"({"policy":{"kind":"a=b"}})");
}

TEST(SettingsFromWords, WhatTheyMakeIsWhatTheDaemonReads) {
    for (const control::SettingDescription& setting : control::all_settings()) {
        std::string value = "1us";
        if (setting.type == control::SettingType::boolean) {
            value = "true";
        } else if (setting.type == control::SettingType::integer) {
            value = std::to_string(setting.lowest);
        } else if (setting.type == control::SettingType::choice) {
            value = setting.choices.back();
        }
        const std::string word = std::string(setting.word) + "=" + value;
        const WordsFor whose = setting.group == control::worker_group ? WordsFor::workers : WordsFor::queues;
        const auto change = control::parse_settings_change(settings_of({word}, whose), control::Level::daemon);
        ASSERT_TRUE(change) << word << ": " << change.error().message;
        EXPECT_TRUE(change->set.contains(setting.setting)) << word;
        EXPECT_THAT(setting_words(whose), HasSubstr(std::string(setting.word)));
    }
}

TEST(SettingsFromWords, AreOfQueuesOrOfWorkers) {
    EXPECT_EQ(settings_of({"poll_budget=20", "weight=200", "latency_class=true", "call_max_delay=20us"}),
              R"({"policy":{"poll_budget":20},"schedule":{"weight":200,"latency_class":true},)"
              R"("calls":{"max_delay":"20us"}})");
    EXPECT_EQ(settings_of({"poll_budget=20", "good_neighbour=false"}, WordsFor::workers),
              R"({"workers":{"poll_budget":20,"good_neighbour":false}})");
    EXPECT_EQ(settings_of({"poll_budget=inherit"}, WordsFor::one_worker), R"({"poll_budget":null})");
    EXPECT_THAT(settings_of({"weight=200"}, WordsFor::one_worker), HasSubstr("is no setting"));
    EXPECT_THAT(settings_of({"wait_max=1ms"}), HasSubstr("is no setting"));
    EXPECT_EQ(settings_of({"latency_class=yes"}), "latency_class: \"yes\" is not true or false");
    EXPECT_EQ(settings_of({"wait_max=1s", "wait_max=1s"}, WordsFor::one_worker), "wait_max is there twice");
}

TEST(QueueTarget, IsADeviceOrOneOfItsQueues) {
    EXPECT_EQ(queue_target_from("disk0").value().device, "disk0");
    EXPECT_EQ(queue_target_from("disk0").value().queue, std::nullopt);
    EXPECT_EQ(queue_target_from("disk0/3").value().device, "disk0");
    EXPECT_EQ(queue_target_from("disk0/3").value().queue, 3U);
    for (const char* word : {"", "/", "/1", "a b", "../x"}) {
        EXPECT_THAT(queue_target_from(word).error().message, HasSubstr("is no device and no queue")) << word;
    }
    for (const char* word : {"disk0/", "disk0/x", "disk0/-1", "disk0/65536", "disk0/1/2"}) {
        EXPECT_THAT(queue_target_from(word).error().message, HasSubstr("is no queue; write a number")) << word;
    }
}

TEST(PinRequest, IsACpuOrNone) {
    EXPECT_EQ(pin_request_from("3").value().cpu, 3U);
    EXPECT_EQ(pin_request_from("none").value().cpu, std::nullopt);
    EXPECT_EQ(pin_request_from("any").error().message, "\"any\" is no CPU; write its number, or none");
}

TEST(SettingsFromWords, RefuseWhatIsNoSetting) {
    for (const char* word : {"rate", "", "=", "=rate", "kind=rate", "Policy=rate"}) {
        EXPECT_THAT(settings_of({word}),
                    HasSubstr("is no setting; write KEY=VALUE or KEY=inherit with one of policy,"));
    }
    EXPECT_EQ(settings_of({"tick=1s", "tick=2s"}), "tick is there twice");
    EXPECT_EQ(settings_of({"poll_start_rate=many"}), "poll_start_rate: \"many\" is no number");
    EXPECT_EQ(settings_of({"poll_start_rate=-1"}), "poll_start_rate: \"-1\" is no number");
    EXPECT_EQ(settings_of({"poll_start_rate="}), "poll_start_rate: \"\" is no number");
}

TEST(LimitsFromArguments, WhatTheyMakeIsWhatTheDaemonReads) {
    const auto body = limits_from_arguments({.transmit_rate = "1 Gbit",
                                             .receive_rate = "none",
                                             .transmit_packets = "50000",
                                             .receive_packets = "0",
                                             .burst = "5ms"});
    ASSERT_TRUE(body) << body.error().message;
    const auto change = control::parse_net_limits_change(control::to_text(*body));
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(*change, (control::NetLimitsChange{1'000'000'000, 0, 50'000, 0, 5'000'000}));
    EXPECT_EQ(control::to_text(limits_from_arguments({.receive_rate = "0"}).value()), R"({"receive_rate":null})");
}

TEST(LimitsFromArguments, RefuseNothingAndWhatIsNoNumber) {
    EXPECT_THAT(limits_from_arguments({}).error().message, HasSubstr("which limit?"));
    EXPECT_EQ(limits_from_arguments({.transmit_packets = "1k"}).error().message,
              "transmit_packets: \"1k\" is no number of packets; write one, or none");
}

TEST(DeviceFromArguments, WhatItMakesIsWhatTheDaemonReads) {
    AddArguments arguments;
    arguments.name = "disk0";
    arguments.socket_path = "d.sock";
    arguments.storage.file = "../d.img";
    arguments.storage.direct = true;
    arguments.storage.engine = "threads";
    arguments.storage.threads = 4;
    arguments.storage.read_only = true;
    arguments.storage.serial = "S";
    arguments.vm = "web1";
    arguments.queues = 4;
    arguments.worker = "io0";
    arguments.socket_permissions = "0660";
    arguments.socket_group = "kvm";
    arguments.setting_words = {"policy=always", "turn_requests=8"};
    const auto device = device_from_arguments(arguments);
    ASSERT_TRUE(device) << device.error().message;
    const auto spec = control::parse_device_spec(control::to_text(*device));
    ASSERT_TRUE(spec) << spec.error().message;

    const std::filesystem::path here = std::filesystem::current_path();
    control::DeviceSpec expected;
    expected.name = "disk0";
    expected.socket = here / "d.sock";
    expected.socket_permissions = 0660;
    expected.socket_group = "kvm";
    expected.queues = 4;
    expected.read_only = true;
    expected.serial = "S";
    expected.vm = "web1";
    expected.worker = "io0";
    expected.settings[control::Setting::turn_requests] = 8U;
    expected.storage = {
        control::StorageKind::file, here.parent_path() / "d.img", 0, true, control::FileEngine::threads, 4};
    expected.settings[control::Setting::kind] = "always";
    EXPECT_EQ(*spec, expected);
}

TEST(DeviceFromArguments, ConnectorsAndOtherStorage) {
    AddArguments arguments;
    arguments.name = "disk0";
    arguments.socket_path = "/d.sock";
    arguments.connect = true;
    arguments.retry_interval = "5s";
    arguments.storage.memory_size = "1MiB";
    auto spec = control::parse_device_spec(control::to_text(device_from_arguments(arguments).value()));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->mode, control::SocketMode::connect);
    EXPECT_EQ(spec->retry_interval_ns, 5'000'000'000U);
    EXPECT_EQ(spec->storage.kind, control::StorageKind::memory);
    EXPECT_EQ(spec->storage.size_bytes, 1U << 20U);

    arguments.storage.memory_size.clear();
    arguments.storage.null_size = "512";
    spec = control::parse_device_spec(control::to_text(device_from_arguments(arguments).value()));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->storage.kind, control::StorageKind::null);
}

TEST(DeviceFromArguments, AScsiDeviceHasNoStorageOfItsOwn) {
    AddArguments arguments;
    arguments.name = "scsi0";
    arguments.socket_path = "/s.sock";
    arguments.scsi = true;
    arguments.queues = 4;
    const auto spec = control::parse_device_spec(control::to_text(device_from_arguments(arguments).value()));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_TRUE(spec->is_scsi());
    EXPECT_EQ(spec->queues, 2 + 4) << "control and events, and requests";

    arguments.storage.serial = "S";
    EXPECT_THAT(device_from_arguments(arguments).error().message, HasSubstr("--scsi excludes"));
}

TEST(DiskFromArguments, WhatItMakesIsWhatTheDaemonReads) {
    ScsiDiskArguments arguments;
    arguments.storage.file = "d.img";
    arguments.storage.direct = true;
    arguments.storage.read_only = true;
    arguments.storage.serial = "S";
    arguments.vendor = "V";
    arguments.product = "P";
    arguments.revision = "R";
    arguments.rotational = true;
    arguments.reservations_file = "r.json";
    arguments.state_file = "s.json";
    const std::filesystem::path here = std::filesystem::current_path();
    control::SharedDiskSpec expected{"q", {true, "S", "V", "P", "R", true, here / "r.json", here / "s.json", {}}};
    expected.disk.storage = {control::StorageKind::file, here / "d.img", 0, true, control::FileEngine::automatic, {}};
    const auto disk = control::parse_shared_disk_spec(control::to_text(disk_from_arguments("q", arguments).value()));
    ASSERT_TRUE(disk) << disk.error().message;
    EXPECT_EQ(*disk, expected);

    const auto unit =
        control::parse_unit_spec(control::to_text(unit_from_arguments({.address = "3:5", .disk = arguments}).value()));
    ASSERT_TRUE(unit) << unit.error().message;
    EXPECT_EQ(*unit, (control::UnitSpec{3, 5, "", expected.disk}));
}

TEST(UnitFromArguments, MayBeASharedDisk) {
    EXPECT_EQ(unit_from_arguments({.address = "", .shared_disk = "q"}).value().dump(), R"({"disk":"q"})");
    EXPECT_EQ(unit_from_arguments({.address = "7", .shared_disk = "q"}).value().dump(), R"({"target":7,"disk":"q"})");
    EXPECT_THAT(unit_from_arguments({.address = "256", .shared_disk = "q"}).error().message,
                HasSubstr("\"256\" is no place for a unit; write TARGET:LUN or TARGET"));
    EXPECT_THAT(unit_from_arguments({.address = "0:16384", .shared_disk = "q"}).error().message,
                HasSubstr("\"0:16384\" is no unit"));
    const auto refused = [](const auto& set) {
        AddUnitArguments arguments{.address = "", .shared_disk = "q"};
        set(arguments.disk);
        return unit_from_arguments(arguments).has_value();
    };
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.storage.file = "/x"; }));
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.storage.threads = 1; }));
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.storage.read_only = true; }));
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.rotational = true; }));
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.reservations_file = "/r"; }));
    EXPECT_FALSE(refused([](ScsiDiskArguments& disk) { disk.state_file = "/s"; }));
}

TEST(ResizeFromWords, KnowsAUnitByItsColon) {
    const auto read = [](std::vector<std::string> words) { return resize_from_words(words).value(); };
    EXPECT_EQ(read({}), ResizeArguments());
    EXPECT_EQ(read({"20GiB"}), (ResizeArguments{{}, "20GiB"}));
    EXPECT_EQ(read({"0:1"}), (ResizeArguments{control::UnitAddress{0, 1}, ""}));
    EXPECT_EQ(read({"0:1", "20GiB"}), (ResizeArguments{control::UnitAddress{0, 1}, "20GiB"}));
    EXPECT_THAT(resize_from_words({"0:x", "1G"}).error().message, HasSubstr("\"0:x\" is no unit"));
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"1G", "2G"}, {"1G", "0:1"}, {"0:1", "1G", "2G"}}) {
        EXPECT_THAT(resize_from_words(words).error().message, HasSubstr("is one word too many"));
    }
}

TEST(DeviceFromArguments, NeedsNameSocketAndOneStorage) {
    AddArguments arguments;
    EXPECT_THAT(device_from_arguments(arguments).error().message, HasSubstr("a name and --socket-path are needed"));
    arguments.name = "d";
    arguments.socket_path = "/d";
    EXPECT_THAT(device_from_arguments(arguments).error().message, HasSubstr("one of --blk-file"));
    arguments.storage.memory_size = "1M";
    arguments.storage.null_size = "1M";
    EXPECT_THAT(device_from_arguments(arguments).error().message, HasSubstr("one of --blk-file"));
}

}  // namespace
}  // namespace sidecore::cli

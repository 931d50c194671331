// SPDX-License-Identifier: Apache-2.0
// A process of Fast DDS that looks like a node of rmw_fastrtps: its names, types and QoS.
// Arguments: domain, "subnet" or "localhost". Words on standard input: see `obey`.
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include <fastcdr/Cdr.h>
#include <fastcdr/FastBuffer.h>
#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/DataWriterListener.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>
#include <fastrtps/utils/IPLocator.h>

using namespace eprosima::fastdds::dds;
namespace rtps = eprosima::fastrtps::rtps;
using eprosima::fastcdr::Cdr;
using eprosima::fastcdr::FastBuffer;
using Bytes = std::vector<uint8_t>;

static void say(const std::string& line) {
    static std::mutex lock;
    std::lock_guard<std::mutex> hold(lock);
    std::cout << line << std::endl;
}

// Any type, by name, as bytes that are CDR already.
class Type : public TopicDataType {
public:
    explicit Type(const std::string& name) {
        setName(name.c_str());
        m_typeSize = 1000000;
        auto_fill_type_object(false);
        auto_fill_type_information(false);
    }
    bool serialize(void* data, rtps::SerializedPayload_t* payload) override {
        const Bytes& bytes = *static_cast<Bytes*>(data);
        std::memcpy(payload->data, bytes.data(), bytes.size());
        payload->length = static_cast<uint32_t>(bytes.size());
        payload->encapsulation = CDR_LE;
        return true;
    }
    bool deserialize(rtps::SerializedPayload_t* payload, void* data) override {
        static_cast<Bytes*>(data)->assign(payload->data, payload->data + payload->length);
        return true;
    }
    std::function<uint32_t()> getSerializedSizeProvider(void* data) override {
        return [data] { return static_cast<uint32_t>(static_cast<Bytes*>(data)->size()); };
    }
    void* createData() override { return new Bytes; }
    void deleteData(void* data) override { delete static_cast<Bytes*>(data); }
    bool getKey(void*, rtps::InstanceHandle_t*, bool) override { return false; }
};

template <class Fill>
static Bytes encode(Fill fill) {
    std::vector<char> room(1000000);
    FastBuffer buffer(room.data(), room.size());
    Cdr cdr(buffer, Cdr::DEFAULT_ENDIAN, Cdr::DDS_CDR);
    cdr.serialize_encapsulation();
    fill(cdr);
    return Bytes(room.begin(), room.begin() + cdr.getSerializedDataLength());
}

static Bytes text_message(const std::string& text) {
    return encode([&](Cdr& cdr) { cdr << text; });
}

static Bytes image_message() {
    Bytes pixels(640 * 480 * 3);
    std::iota(pixels.begin(), pixels.end(), 0);
    return encode([&](Cdr& cdr) {
        cdr << int32_t(1) << uint32_t(2) << std::string("camera") << uint32_t(480) << uint32_t(640)
            << std::string("rgb8") << uint8_t(0) << uint32_t(1920) << pixels;
    });
}

static std::string describe(const std::string& type, Bytes bytes) {
    FastBuffer buffer(reinterpret_cast<char*>(bytes.data()), bytes.size());
    Cdr cdr(buffer, Cdr::DEFAULT_ENDIAN, Cdr::DDS_CDR);
    cdr.read_encapsulation();
    if (type == "std_msgs::msg::dds_::String_") {
        std::string text;
        cdr >> text;
        return text;
    }
    if (type != "sensor_msgs::msg::dds_::Image_") return std::to_string(bytes.size()) + " bytes";
    int32_t sec;
    uint32_t nanosec, height, width, step;
    std::string frame, encoding;
    uint8_t bigendian;
    Bytes pixels;
    cdr >> sec >> nanosec >> frame >> height >> width >> encoding >> bigendian >> step >> pixels;
    uint64_t sum = std::accumulate(pixels.begin(), pixels.end(), uint64_t(0));
    return std::to_string(width) + "x" + std::to_string(height) + " " + std::to_string(sum);
}

class Hearing : public DataReaderListener {
public:
    void on_data_available(DataReader* reader) override {
        Bytes bytes;
        SampleInfo info;
        while (reader->take_next_sample(&bytes, &info) == ReturnCode_t::RETCODE_OK)
            if (info.valid_data) {
                const TopicDescription* topic = reader->get_topicdescription();
                say(topic->get_name() + ": " + describe(topic->get_type_name(), bytes));
            }
    }
    void on_subscription_matched(DataReader* r, const SubscriptionMatchedStatus& s) override {
        say(r->get_topicdescription()->get_name() + " has " + std::to_string(s.current_count));
    }
};

class Speaking : public DataWriterListener {
    void on_publication_matched(DataWriter* w, const PublicationMatchedStatus& s) override {
        say(w->get_topic()->get_name() + " has " + std::to_string(s.current_count));
    }
};

static DomainParticipant* participant;
static Publisher* publisher;
static Subscriber* subscriber;
static std::map<std::string, DataWriter*> writers;
static Hearing hearing;
static Speaking speaking;

static Topic* make_topic(const std::string& name, const std::string& type) {
    TypeSupport(new Type(type)).register_type(participant);
    return participant->create_topic(name, type, TOPIC_QOS_DEFAULT);
}

template <class Qos>
static Qos like_ros(Qos qos, bool latched = false) {
    qos.reliability().kind = RELIABLE_RELIABILITY_QOS;
    qos.durability().kind = latched ? TRANSIENT_LOCAL_DURABILITY_QOS : VOLATILE_DURABILITY_QOS;
    qos.history().kind = KEEP_LAST_HISTORY_QOS;
    qos.history().depth = latched ? 1 : 10;
    qos.data_sharing().off();
    qos.endpoint().history_memory_policy = rtps::PREALLOCATED_WITH_REALLOC_MEMORY_MODE;
    return qos;
}

static void write_to(const std::string& name, const std::string& type, bool latched = false) {
    writers[name] = publisher->create_datawriter(
        make_topic(name, type), like_ros(DATAWRITER_QOS_DEFAULT, latched), &speaking);
}

static void read_from(const std::string& name, const std::string& type) {
    subscriber->create_datareader(
        make_topic(name, type), like_ros(DATAREADER_QOS_DEFAULT), &hearing);
}

static void announce_node() {
    Bytes gid(16);
    std::memcpy(gid.data(), participant->guid().guidPrefix.value, 12);
    std::memcpy(gid.data() + 12, participant->guid().entityId.value, 4);
    Bytes message = encode([&](Cdr& cdr) {
        cdr.serializeArray(gid.data(), gid.size());
        cdr << uint32_t(1) << std::string("/") << std::string("fast") << uint32_t(0) << uint32_t(0);
    });
    writers.at("ros_discovery_info")->write(&message);
}

static void join(int domain, bool localhost) {
    DomainParticipantQos qos = PARTICIPANT_QOS_DEFAULT;
    auto udp = std::make_shared<eprosima::fastdds::rtps::UDPv4TransportDescriptor>();
    udp->receiveBufferSize = 4194304;
    udp->maxInitialPeersRange = 32;
    qos.transport().use_builtin_transports = false;
    qos.transport().user_transports.push_back(udp);
    const std::string user_data = "enclave=/;";
    qos.user_data().assign(user_data.begin(), user_data.end());
    if (localhost) {
        auto& builtin = qos.wire_protocol().builtin;
        rtps::Locator_t own, peer;
        rtps::IPLocator::setIPv4(peer, "127.0.0.1");
        builtin.metatrafficUnicastLocatorList.push_back(own);
        builtin.initialPeersList.push_back(peer);
    }
    participant = DomainParticipantFactory::get_instance()->create_participant(domain, qos);
    publisher = participant->create_publisher(PUBLISHER_QOS_DEFAULT);
    subscriber = participant->create_subscriber(SUBSCRIBER_QOS_DEFAULT);
}

static void obey(const std::string& word) {
    Bytes text = text_message("hello from Fast DDS"), image = image_message();
    Bytes request = encode([](Cdr& cdr) { cdr << uint8_t(0); });
    if (word == "text") writers.at("rt/text_to_python")->write(&text);
    if (word == "image") writers.at("rt/image_to_python")->write(&image);
    if (word == "request") writers.at("rq/askedRequest")->write(&request);
    if (word == "odd name") write_to("rt/caf\xe9", "std_msgs::msg::dds_::String_");
}

int main(int, char** arguments) {
    join(std::stoi(arguments[1]), std::string(arguments[2]) == "localhost");
    const std::string text = "std_msgs::msg::dds_::String_";
    const std::string image = "sensor_msgs::msg::dds_::Image_";
    const std::string trigger = "std_srvs::srv::dds_::Trigger_";
    write_to("ros_discovery_info", "rmw_dds_common::msg::dds_::ParticipantEntitiesInfo_", true);
    announce_node();
    write_to("rt/text_to_python", text);
    read_from("rt/text_to_fast", text);
    write_to("rt/image_to_python", image);
    read_from("rt/image_to_fast", image);
    write_to("rq/askedRequest", trigger + "Request_");
    read_from("rr/askedReply", trigger + "Response_");
    read_from("rq/answeredRequest", trigger + "Request_");
    write_to("rr/answeredReply", trigger + "Response_");
    say("up");
    std::string word;
    while (std::getline(std::cin, word) && word != "leave") obey(word);
    participant->delete_contained_entities();
    DomainParticipantFactory::get_instance()->delete_participant(participant);
}

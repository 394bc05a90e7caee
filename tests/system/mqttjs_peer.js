// mqttjs_peer - a client of Beckon written with MQTT.js, as a web page would be.
//
// Does what paho_c_peer.c does, with the same command line and output: it connects with a session
// that outlives the connection, and either receives COUNT messages from its inbox or sends COUNT of
// them. One JSON object a line.
//
//   node mqttjs_peer.js URL 4|5 DEVICE USER TOKEN receive COUNT
//   node mqttjs_peer.js URL 4|5 DEVICE USER TOKEN send TOPIC COUNT
"use strict";
const mqtt = require("mqtt");

const DEADLINE_MS = 20000;      // bounds a failure; a whole run takes well under a second
const [url, version, clientId, username, password, action, ...rest] = process.argv.slice(2);

function fail(what) {
    console.error(what);
    process.exit(1);
}

const options = {
    protocolVersion: Number(version), clientId, username, password,
    clean: false, reconnectPeriod: 0,
};
if (process.env.CA) {
    options.ca = require("fs").readFileSync(process.env.CA);
}
if (options.protocolVersion === 5) {
    options.properties = { sessionExpiryInterval: 3600 };
}
setTimeout(() => fail("took too long"), DEADLINE_MS);

const client = mqtt.connect(url, options);
const done = () => client.end(false, () => process.exit(0));

/* Called before CONNACK: what a kept session holds comes right behind it. */
function receive(count) {
    let left = count, subscribed = false;
    const look = () => left === 0 && subscribed && done();
    client.on("message", (topic, payload, packet) => {
        console.log(JSON.stringify({ topic, payload: payload.toString(), qos: packet.qos }));
        left -= 1;
        setImmediate(look);     // after the acknowledgement, which follows this event
    });
    client.subscribe("inbox/#", { qos: 1 }, (error, granted) => {
        if (error || granted[0].qos !== 1) {
            fail(`subscribe: ${error}`);
        }
        subscribed = true;
        look();
    });
}

function send(topic, count) {
    let left = count;
    for (let number = 0; number < count; number += 1) {
        client.publish(topic, `message ${number}`, { qos: 1 }, (error) => {
            if (error) {
                fail(`publish: ${error}`);
            }
            left -= 1;
            if (left === 0) {
                done();
            }
        });
    }
}

client.on("error", (error) => fail(`${error}`));
client.on("packetreceive", (packet) => {
    if (packet.cmd === "connack") {
        console.log(JSON.stringify({ session: packet.sessionPresent }));
    }
});
if (action === "receive") {
    receive(Number(rest[0]));
} else {
    send(rest[0], Number(rest[1]));
}

// A phone in a browser: JsSIP, the fake microphone, and what the browser itself counts.
const seen = { registered: false, failed: null, ended: false, session: null, log: [] };

function note(text) { seen.log.push(text); }

function watch(session) {
    seen.session = session;
    session.on("failed", (event) => { seen.failed = event.cause; note("failed: " + event.cause); });
    session.on("ended", (event) => { seen.ended = true; note("ended: " + event.cause); });
    session.on("confirmed", () => note("confirmed"));
    session.on("peerconnection", ({ peerconnection }) => follow(peerconnection));
    if (session.connection) follow(session.connection);
}

function follow(connection) {
    connection.addEventListener("iceconnectionstatechange", () => note("ice " + connection.iceConnectionState));
    connection.addEventListener("connectionstatechange", () => note("connection " + connection.connectionState));
    connection.addEventListener("track", (event) => {
        const audio = document.createElement("audio");
        audio.autoplay = true;
        audio.srcObject = event.streams[0] || new MediaStream([event.track]);
        document.body.append(audio);
    });
}

function start(server, user, password) {
    const agent = new JsSIP.UA({
        sockets: [new JsSIP.WebSocketInterface(server)],
        uri: `sip:${user}@127.0.0.1`, password, register: Boolean(password), session_timers: false,
    });
    agent.on("connected", () => note("connected"));
    agent.on("disconnected", (event) => note("disconnected " + (event.reason || "")));
    agent.on("registered", () => { seen.registered = true; });
    agent.on("registrationFailed", (event) => note("registration failed: " + event.cause));
    agent.on("newRTCSession", ({ session, originator }) => {
        watch(session);
        if (originator === "remote") session.answer({ mediaConstraints: { audio: true, video: false } });
    });
    agent.start();
    window.agent = agent;
}

function call(uri) {
    agent.call(uri, { mediaConstraints: { audio: true, video: false } });
}

async function counted() {
    const connection = seen.session && seen.session.connection;
    if (!connection) return null;
    const found = {};
    for (const one of (await connection.getStats()).values()) {
        if (one.type === "inbound-rtp" && one.kind === "audio") {
            found.received = one.packetsReceived;
            found.energy = one.totalAudioEnergy;
            found.lost = one.packetsLost;
        }
        if (one.type === "outbound-rtp" && one.kind === "audio") found.sent = one.packetsSent;
        if (one.type === "remote-inbound-rtp" && one.kind === "audio") found.reportedLost = one.packetsLost;
        if (one.type === "transport") {
            found.dtls = one.dtlsState;
            found.cipher = one.srtpCipher;
        }
        if (one.type === "codec" && one.mimeType.startsWith("audio/")) found.codec = one.mimeType;
    }
    return found;
}

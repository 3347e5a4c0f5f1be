// A relying party made of openid-client, told line by line what to do: {"do": NAME, …} in, {"ok": …} or {"error": …} out. Everything that goes to the issuer is
// the library's own doing, and so is every check of what comes back.
const { Issuer, custom, generators } = require("openid-client");

custom.setHttpOptionsDefaults({ timeout: 20000 });
let issuer, client, checks, device;

const tokens = (set) => ({ ...set, claims: set.id_token ? set.claims() : undefined });

const commands = {
	async discover({ url, metadata }) {
		issuer = await Issuer.discover(url);
		client = new issuer.Client(metadata);
		return issuer.metadata;
	},
	async begin(parameters) {
		const code_verifier = generators.codeVerifier();
		checks = { code_verifier, state: generators.state(), nonce: generators.nonce(), response_type: parameters.response_type || "code" };
		return client.authorizationUrl({
			...parameters, state: checks.state, nonce: checks.nonce, code_challenge: generators.codeChallenge(code_verifier), code_challenge_method: "S256",
		});
	},
	async finish({ url, form, max_age }) {
		const parameters = form || client.callbackParams(url);
		return tokens(await client.callback(client.metadata.redirect_uris[0], parameters, { ...checks, max_age }));
	},
	async refresh({ refresh_token }) { return tokens(await client.refresh(refresh_token)); },
	async userinfo({ token }) { return client.userinfo(token); },
	async introspect({ token }) { return client.introspect(token); },
	async revoke({ token }) { await client.revoke(token); return null; },
	async logout(parameters) { return client.endSessionUrl(parameters); },
	async client_credentials() { return client.grant({ grant_type: "client_credentials" }); },
	async exchange({ token }) {
		return client.grant({
			grant_type: "urn:ietf:params:oauth:grant-type:token-exchange", subject_token: token, subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
		});
	},
	async device(parameters) {
		device = await client.deviceAuthorization(parameters);
		return { user_code: device.user_code, verification_uri: device.verification_uri, complete: device.verification_uri_complete };
	},
	async device_wait() { return tokens(await device.poll()); },
};

require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
	const { do: name, ...parameters } = JSON.parse(line);
	let answer;
	try {
		answer = { ok: await commands[name](parameters) };
	} catch (e) {
		answer = { error: e.error || e.message };
	}
	process.stdout.write(JSON.stringify(answer) + "\n");
});

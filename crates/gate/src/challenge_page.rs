//! The challenge of a route as text, written once. A request brings three things to it: the URL, the
//! reason, and the payer whom a refused verification was about.

use bytes::Bytes;
use faregate_protocol::{PaymentRequired, Reason, header as names, v1};
use http::{HeaderValue, Uri};
use serde::Serialize;
use uuid::Uuid;

use crate::challenge::{self, FIRST_ERROR, required};
use crate::origin::Origin;
use crate::route::Route;
use crate::version;

/// Header and body of a 402 for one route.
pub(crate) struct Page {
    header: Template,
    body: Body,
    /// The first challenge for the one path of a route without parameters.
    plain: Option<(String, Challenge)>,
}

/// Buyers of version 1 read nothing but the body, so it is a challenge of version 1 where any
/// option has a name there, and else that of the header, for people.
enum Body {
    AsHeader,
    V1(Template),
}

/// What a 402 says.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// Of `PAYMENT-REQUIRED`; none if it does not fit into a header.
    pub(crate) header: Option<HeaderValue>,
    /// JSON.
    pub(crate) body: Bytes,
}

impl Page {
    /// Of a priced route at this origin.
    pub(crate) fn of(origin: &Origin, route: &Route) -> Self {
        let marks = Marks::new();
        let challenge = required(route, marks.url.clone(), &marks.error);
        let PaymentRequired { accepts, resource, .. } = &challenge;
        let old = v1::PaymentRequiredV1::of(&marks.error, accepts, resource);
        let mut page = Self {
            header: marks.cut(&challenge),
            body: old.map_or(Body::AsHeader, |old| Body::V1(marks.cut(&old))),
            plain: None,
        };
        page.plain = route.plain_path().map(|path| {
            let url = [&origin.text(), path].concat();
            (path.to_owned(), page.fill(&url, FIRST_ERROR, None))
        });
        page
    }

    /// For `uri` at `origin`; `error` is [`FIRST_ERROR`] or a reason code.
    pub(crate) fn write(
        &self,
        origin: &Origin,
        uri: &Uri,
        error: &str,
        payer: Option<&str>,
    ) -> Challenge {
        if let (Some((plain, challenge)), FIRST_ERROR, None) = (&self.plain, error, payer)
            && plain == uri.path()
            && uri.query().is_none()
        {
            return challenge.clone();
        }
        self.fill(&challenge::url(origin, uri), error, payer)
    }

    fn fill(&self, url: &str, error: &str, payer: Option<&str>) -> Challenge {
        let url = json(url);
        let header = self.header.fill(&url, &json(error));
        let body = match &self.body {
            Body::AsHeader => header.clone(),
            Body::V1(template) => with_payer(template.fill(&url, &json(&error_v1(error))), payer),
        };
        let header = HeaderValue::try_from(names::encode_text(&header)).ok();
        Challenge { header, body: body.into() }
    }
}

fn error_v1(error: &str) -> String {
    match error {
        FIRST_ERROR => v1::HEADER_MISSING.to_owned(),
        code if code == Reason::NoMatchingRequirements.code() => v1::NO_MATCH.to_owned(),
        code => version::code_v1(code),
    }
}

fn with_payer(mut object: String, payer: Option<&str>) -> String {
    if let Some(payer) = payer
        && object.pop() == Some('}')
    {
        object.push_str(",\"payer\":");
        object.push_str(&json(payer));
        object.push('}');
    }
    object
}

/// A message with places left open.
struct Template(Vec<Part>);

enum Part {
    Text(String),
    Url,
    Error,
}

impl Template {
    fn fill(&self, url: &str, error: &str) -> String {
        let texts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Url => url,
            Part::Error => error,
        });
        let length = texts.clone().map(str::len).sum();
        let mut filled = String::with_capacity(length);
        filled.extend(texts);
        filled
    }
}

/// Texts that stand for what is left open; nothing in a configuration is equal to them.
struct Marks {
    url: String,
    error: String,
}

impl Marks {
    fn new() -> Self {
        Self { url: Uuid::new_v4().to_string(), error: Uuid::new_v4().to_string() }
    }

    fn cut<T: Serialize>(&self, message: &T) -> Template {
        let text = json(message);
        let (url, error) = (json(&self.url), json(&self.error));
        let mut parts = Vec::new();
        for (index, piece) in text.split(url.as_str()).enumerate() {
            if index > 0 {
                parts.push(Part::Url);
            }
            for (index, piece) in piece.split(error.as_str()).enumerate() {
                if index > 0 {
                    parts.push(Part::Error);
                }
                parts.push(Part::Text(piece.to_owned()));
            }
        }
        Template(parts)
    }
}

/// These messages have no member that JSON cannot hold.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faregate_protocol::{Network, PaymentRequirements};
    use proptest::prelude::*;
    use serde_json::{Value, json as value};

    fn option(network: &str) -> PaymentRequirements {
        PaymentRequirements {
            scheme: "exact".to_owned(),
            network: network.parse::<Network>().unwrap(),
            amount: 10_000.into(),
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
            pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".to_owned(),
            max_timeout_seconds: 60.into(),
            extra: value!({"name": "USDC", "version": "2"}).as_object().cloned(),
        }
    }

    fn route(networks: &[&str], description: &str) -> Route {
        let options = networks.iter().map(|network| option(network)).collect();
        let mut route = Route::priced("weather", "GET /weather", options);
        route.description = description.to_owned();
        route
    }

    fn origin() -> Origin {
        "https://api.example.com".parse().unwrap()
    }

    #[test]
    fn the_plain_challenge_is_for_its_url_alone() {
        let route = route(&["eip155:84532"], "");
        let page = Page::of(&origin(), &route);
        let (path, _) = page.plain.as_ref().unwrap();
        assert_eq!(path, "/weather");
        for (matcher, path) in
            [("/a", Some("/a")), ("GET /a/:id", None), ("/a/*", None), ("*", None)]
        {
            let route = Route { matcher: matcher.to_owned(), ..route.clone() };
            assert_eq!(route.plain_path(), path);
        }
    }

    /// The same, made from its parts each time.
    fn built(route: &Route, url: &str, error: &str, payer: Option<&str>) -> (String, Value) {
        let challenge = required(route, url.to_owned(), error);
        let header = names::encode(&challenge).unwrap();
        let old =
            v1::PaymentRequiredV1::of(&error_v1(error), &challenge.accepts, &challenge.resource);
        let Some(old) = old else { return (header, serde_json::to_value(&challenge).unwrap()) };
        let mut body = serde_json::to_value(old).unwrap();
        if let Some(payer) = payer {
            body["payer"] = value!(payer);
        }
        (header, body)
    }

    proptest! {
        #[test]
        fn a_filled_page_is_what_building_it_makes(
            path in "/[ -~]{0,40}|/weather(\\?[a-z=&]{0,5})?",
            error in "[a-z_\"\\\\]{1,20}|Payment required|no_matching_requirements",
            payer in prop::option::of("0x[0-9a-f]{4}|\""),
            description in "\\PC{0,30}",
            known_to_v1 in any::<bool>(),
        ) {
            let networks: &[&str] = match known_to_v1 {
                true => &["eip155:84532", "eip155:8453", "eip155:777"],
                false => &["eip155:777"],
            };
            let route = route(networks, &description);
            let url = format!("https://api.example.com{path}");
            let page = Page::of(&origin(), &route);
            let filled = page.fill(&url, &error, payer.as_deref());
            let (header, body) = built(&route, &url, &error, payer.as_deref());
            prop_assert_eq!(filled.header.unwrap(), header.as_str());
            prop_assert_eq!(filled.body, Bytes::from(body.to_string()));
            // What no request line can hold is no URI.
            if let Ok(uri) = path.parse::<Uri>() {
                let url = challenge::url(&origin(), &uri);
                let (header, body) = built(&route, &url, &error, payer.as_deref());
                let written = page.write(&origin(), &uri, &error, payer.as_deref());
                prop_assert_eq!(written.header.unwrap(), header.as_str());
                prop_assert_eq!(written.body, Bytes::from(body.to_string()));
            }
        }
    }
}

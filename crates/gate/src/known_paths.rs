//! What the price table says about the paths that its routes are written with. Nearly every request
//! is for one of them, and to judge a path anew takes a dozen allocations and several walks over
//! the table.

use std::collections::HashMap;
use std::sync::OnceLock;

use http::Method;

use crate::route::Route;

/// The methods whose requests are looked up; others are rare, and their names are the client's.
const METHODS: usize = 7;

/// What method and path of a request say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The entry that the request belongs to, by its position in the table.
    pub(crate) strict: Option<usize>,
    /// Some method of this path costs money.
    pub(crate) priced_path: bool,
}

/// By paths as they are sent. Only the configuration adds to it, so no client can make it grow.
#[derive(Clone, Debug)]
pub(crate) struct KnownPaths(HashMap<String, [OnceLock<Option<Place>>; METHODS]>);

impl KnownPaths {
    /// Of the routes without parameters; nothing is known about them yet.
    pub(crate) fn of<'a>(routes: impl Iterator<Item = &'a Route>) -> Self {
        let paths = routes.filter_map(Route::plain_path);
        Self(paths.map(|path| (path.to_owned(), Default::default())).collect())
    }

    /// What was found for this request before, or what `look` finds. It has to depend on nothing
    /// but method and path.
    pub(crate) fn find(
        &self,
        method: &Method,
        path: &str,
        look: impl FnOnce() -> Option<Place>,
    ) -> Option<Place> {
        match column(method).and_then(|column| self.0.get(path)?.get(column)) {
            Some(kept) => *kept.get_or_init(look),
            None => look(),
        }
    }
}

fn column(method: &Method) -> Option<usize> {
    Some(match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(matchers: &[&str]) -> KnownPaths {
        let routes: Vec<Route> =
            matchers.iter().map(|matcher| Route::free(*matcher, *matcher)).collect();
        KnownPaths::of(routes.iter())
    }

    /// How often such requests were looked at.
    fn looks(known: &KnownPaths, requests: &[(Method, &str)]) -> usize {
        let mut looks = 0;
        for (method, path) in requests {
            known.find(method, path, || {
                looks += 1;
                None
            });
        }
        looks
    }

    #[test]
    fn each_method_of_a_configured_path_is_looked_at_once() {
        let known = known(&["GET /a", "/b/c", "POST /a"]);
        let (get, post) = (Method::GET, Method::POST);
        let a = [(get.clone(), "/a"), (get.clone(), "/a")];
        assert_eq!((looks(&known, &a), looks(&known, &a)), (1, 0));
        assert_eq!(looks(&known, &[(post.clone(), "/a"), (get, "/b/c"), (post, "/a")]), 2);
    }

    #[test]
    fn nothing_that_a_client_makes_up_is_kept() {
        let known = known(&["GET /a", "/b/:id", "/c/*", "*"]);
        assert_eq!(known.0.keys().collect::<Vec<_>>(), ["/a"]);
        let own = Method::from_bytes(b"get").unwrap();
        for (method, path) in
            [(own, "/a"), (Method::GET, "/A"), (Method::GET, "/a/"), (Method::GET, "/b/:id")]
        {
            let twice = [(method.clone(), path), (method, path)];
            assert_eq!(looks(&known, &twice), 2, "{path}");
        }
    }
}

//! What the API tells of itself.

use crate::harness::Running;

#[tokio::test]
async fn the_document_names_every_resource_and_the_page_shows_it() {
    let suite = Running::new().await;
    let stranger = suite.stranger();
    let document = stranger.get("/openapi.json").await.is(200).json();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/fllws/{username}",
            "/latest",
            "/msgs",
            "/msgs/{username}",
            "/register"
        ]
    );
    let page = stranger.get("/docs").await.is(200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for path in paths {
        assert!(page.contains(path.as_str()), "{path}");
    }
    assert!(
        !page.contains("//cdn") && !page.contains("<script"),
        "nothing from elsewhere"
    );
    suite.stop().await;
}

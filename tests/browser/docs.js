// docs.js URL FOLDER: what a newcomer does on /docs: makes an account, logs in with the Authorize button,
// lists the users and asks for a fresh token; then a look at /redoc. Screenshots go to FOLDER.
'use strict';
const { watch } = require('./watch.js');
const [url, folder] = process.argv.slice(2);

const user = { username: 'alice', email: 'alice@example.com', password: 'secret' };

// Opens an operation, fills its body if there is one, and executes it: status and JSON of the answer.
async function execute(page, id, body) {
    const block = page.locator(`[id="operations-${id}"]`);
    await block.locator('.opblock-summary-control').click();
    await block.getByRole('button', { name: 'Try it out' }).click();
    if (body) await block.locator('textarea.body-param__text').fill(JSON.stringify(body));
    await block.locator('button.execute').click();
    const live = block.locator('.live-responses-table');
    const status = await live.locator('.response .response-col_status').first().innerText();
    const answer = await live.locator('.highlight-code code').first().innerText();
    return { status: parseInt(status, 10), answer: JSON.parse(answer) };
}

async function authorize(page) {
    await page.locator('.scheme-container .authorize').click();
    const dialog = page.locator('.modal-ux');
    await dialog.locator('#oauth_username').fill(user.email);
    await dialog.locator('#oauth_password').fill(user.password);
    await dialog.locator('button.authorize').click();
    await dialog.getByText('Authorized', { exact: true }).waitFor();
    await dialog.locator('button.btn-done').click();
}

async function swagger(page) {
    await page.goto(`${url}/docs`);
    await page.locator('.opblock').first().waitFor();
    const operations = await page.locator('.opblock').evaluateAll((all) => all.map((one) => one.id));
    const created = await execute(page, 'users-create_user_users__post', user);
    await authorize(page);
    const listed = await execute(page, 'users-read_users_users__get');
    const refreshed = await execute(page, 'auth-refresh_access_token_auth_refresh_token_post');
    await page.screenshot({ path: `${folder}/docs.png`, fullPage: true });
    return { title: await page.title(), operations, created, listed, refreshed };
}

async function redoc(page) {
    await page.goto(`${url}/redoc`);
    await page.getByRole('heading', { name: 'Create User' }).waitFor();
    const headings = await page.locator('h2').allInnerTexts();
    await page.locator('input[type=text]').first().fill('Refresh');
    const found = await page.locator('[data-role="search:results"]').innerText();
    await page.screenshot({ path: `${folder}/redoc.png` });
    return { title: await page.title(), headings, found };
}

watch(async (page) => ({ swagger: await swagger(page), redoc: await redoc(page) }));
